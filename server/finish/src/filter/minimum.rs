//! Answers that say too little to be shown: nothing but blanks, or nothing but closing brackets and
//! separators, which are typed faster than they are read.

use crate::why::Why;

/// Withholds what has no character of its own.
pub(crate) fn check(text: &str) -> Result<(), Why> {
    if text.trim().is_empty() {
        return Err(Why::Blank);
    }
    let says_nothing = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                ')' | ']' | '}' | '>' | ';' | ',' | '.' | '"' | '\'' | '`'
            )
    };
    if text.chars().all(says_nothing) {
        Err(Why::OnlyClosers)
    } else {
        Ok(())
    }
}
