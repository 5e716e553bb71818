//! Where tokens on the command line stand: `--positions` and how they go on.

use anyhow::{Context as _, bail};
use engine::Advance;

use crate::flags::PlacesArgs;

/// Two positions for each of `count` tokens: those given, else 0, 1, 2, … and zeros.
///
/// # Errors
/// If what was given is not two rows of that many numbers.
pub fn rows(places: &PlacesArgs, count: usize) -> anyhow::Result<[Vec<u32>; 2]> {
    let Some(text) = &places.positions else {
        let last = u32::try_from(count).context("there are too many tokens")?;
        return Ok([(0..last).collect(), vec![0; count]]);
    };
    let (first, second) = text
        .split_once(';')
        .context("--positions takes two rows, such as \"0,1,2;0,0,1\"")?;
    let rows = [row(first)?, row(second)?];
    if let Some(row) = rows.iter().find(|row| row.len() != count) {
        bail!(
            "--positions has a row of {} numbers for {count} tokens",
            row.len()
        );
    }
    Ok(rows)
}

fn row(text: &str) -> anyhow::Result<Vec<u32>> {
    let number = |text: &str| {
        let text = text.trim();
        text.parse()
            .with_context(|| format!("`{text}` in --positions is no position"))
    };
    text.split(',').map(number).collect()
}

/// How positions go on after these rows: as the last of them did.
pub fn advance(rows: &[Vec<u32>; 2]) -> Advance {
    let step = |row: &[u32]| match row {
        [.., before, last] => last.checked_sub(*before),
        _ => None,
    };
    match (step(&rows[0]), step(&rows[1])) {
        (_, Some(1)) => Advance::Span,
        (Some(0), _) => Advance::Still,
        _ => Advance::Place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> PlacesArgs {
        PlacesArgs {
            positions: Some(text.to_owned()),
            sep: 0,
            mask: None,
        }
    }

    #[test]
    fn rows_are_given_or_counted() {
        let counted = rows(&PlacesArgs::default(), 3).unwrap();
        assert_eq!(counted, [vec![0, 1, 2], vec![0, 0, 0]]);
        let blank = rows(&given("0,1,2, 1;0,0,0,1"), 4).unwrap();
        assert_eq!(blank, [vec![0, 1, 2, 1], vec![0, 0, 0, 1]]);
        for wrong in ["0,1,2", "0,1;0", "0,x;0,0", "0,1,2;0,0,0"] {
            assert!(rows(&given(wrong), 2).is_err(), "{wrong}");
        }
    }

    #[test]
    fn positions_go_on_as_they_went() {
        let check = |text: &str, count, expected| {
            assert_eq!(
                advance(&rows(&given(text), count).unwrap()),
                expected,
                "{text}"
            );
        };
        check("0,1,2;0,0,0", 3, Advance::Place);
        check("7;0", 1, Advance::Place);
        check("0,1,2,1;0,0,0,1", 4, Advance::Span);
        check("0,1,2,1,1;0,0,0,1,2", 5, Advance::Span);
        check("0,1,1,1;0,0,0,0", 4, Advance::Still);
    }
}
