//! Why an answer is withheld: every way in which finishing gives nothing, each with a plain reason
//! for the log and for whoever asks.

use std::fmt;

/// The reason for which an answer is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is nothing in it but blanks.
    Blank,
    /// Nothing in it belongs to the line, statement or block that was asked for.
    OutOfScope,
    /// It closes brackets or ends a statement and says nothing else.
    OnlyClosers,
    /// It says one thing over and over.
    Loop,
    /// It says again what stands before the cursor.
    RepeatsPreceding,
    /// It says again what stands after the cursor.
    RepeatsFollowing,
    /// Any part of it would leave a bracket open or close one too many.
    Brackets,
    /// Any part of it would leave a string open.
    Quotes,
    /// Any part of it would add a syntax error.
    Syntax,
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Why::Blank => "the answer is blank",
            Why::OutOfScope => "the answer has nothing for the place that was asked about",
            Why::OnlyClosers => "the answer only closes brackets",
            Why::Loop => "the answer repeats itself",
            Why::RepeatsPreceding => "the answer repeats what stands before the cursor",
            Why::RepeatsFollowing => "the answer repeats what follows the cursor",
            Why::Brackets => "the answer would leave brackets worse than they are",
            Why::Quotes => "the answer would leave a string open",
            Why::Syntax => "the answer would add a syntax error",
        })
    }
}
