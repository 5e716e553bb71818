//! Answers that copy the lines just above the cursor: the circle that began before the answer did.

use text::Snapshot;

use crate::ask::Ask;
use crate::lines::is_telling;
use crate::why::Why;

/// Withholds an answer whose lines are, in order, the ones that stand right above it.
pub(crate) fn check(text: &str, ask: &Ask, snapshot: &Snapshot, offset: usize) -> Result<(), Why> {
    if !ask.starts_line() {
        return Ok(());
    }
    let said = format!("{}{text}", ask.line_left);
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let above = (0..snapshot.line_of(offset)).rev();
    let above = above.map(|line| snapshot.slice(snapshot.line_range(line)));
    let mut above = above.filter(|line| !line.trim().is_empty());
    let copied = said
        .iter()
        .rev()
        .all(|line| above.next().is_some_and(|other| other == *line));
    if copied && said.iter().any(|line| is_telling(line)) {
        return Err(Why::RepeatsPreceding);
    }
    Ok(())
}
