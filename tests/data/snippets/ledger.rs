//! A ledger: entries with a date and an amount, and sums over them.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub day: String,
    pub amount: f64,
    pub note: Option<String>,
}

#[derive(Debug)]
pub enum Bad {
    Row(usize),
    Amount { line: usize, text: String },
}

impl Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Row(line) => write!(f, "line {line}: too few columns"),
            Bad::Amount { line, text } => write!(f, "line {line}: '{text}' is no amount"),
        }
    }
}

#[derive(Default)]
pub struct Ledger<'a> {
    name: &'a str,
    entries: Vec<Entry>,
}

impl<'a> Ledger<'a> {
    pub fn parse(name: &'a str, text: &str) -> Result<Self, Bad> {
        let mut ledger = Ledger { name, entries: Vec::new() };
        for (index, row) in text.lines().enumerate() {
            let line = index + 1;
            let mut columns = row.splitn(3, ',');
            let (Some(day), Some(amount)) = (columns.next(), columns.next()) else {
                return Err(Bad::Row(line));
            };
            let amount = amount
                .trim()
                .parse()
                .map_err(|_| Bad::Amount { line, text: amount.to_owned() })?;
            let note = columns.next().filter(|note| !note.is_empty());
            ledger.entries.push(Entry {
                day: day.to_owned(),
                amount,
                note: note.map(str::to_owned),
            });
        }
        Ok(ledger)
    }

    pub fn by_month(&self) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for entry in &self.entries {
            *sums.entry(&entry.day[..7]).or_insert(0.0) += entry.amount;
        }
        sums
    }

    pub fn report(&self) -> String {
        let rows = self.by_month().into_iter().map(|(month, amount)| {
            let sign = if amount < 0.0 { '-' } else { '+' };
            format!("{} {month} {sign}{:>10.2}\n", self.name, amount.abs())
        });
        rows.collect()
    }
}
