//! Other answers to the same question, for a person who asked by hand and may want to choose.
//!
//! Each alternative begins with another token than those before it, the likeliest that is left, and then goes on as the
//! model likes best. The engine has read the question already, so that an alternative costs its own tokens only.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Ask, Shown, Trip, Why};
use crate::documents::Documents;
use crate::rooms::Rooms;

/// Most suggestions for one place.
const MOST: usize = 3;

/// Most answers that are tried for that: some differ in their tokens only, or are nothing to show.
const TRIES: usize = 6;

/// How long a person waits for alternatives beyond the first suggestion.
const PATIENCE: Duration = Duration::from_millis(500);

/// What else might stand at the cursor, besides what is shown first.
pub async fn alternatives(
    rooms: Arc<Rooms>,
    documents: Arc<Documents>,
    ask: Ask,
    first: &Shown,
) -> Vec<Shown> {
    let end = Instant::now() + PATIENCE;
    let trip = Trip::new(rooms, documents, ask);
    let mut known = vec![first.item.text.clone()];
    let mut found = Vec::new();
    let mut avoid: Vec<Vec<u32>> = Vec::new();
    for _ in 0..TRIES {
        if known.len() == MOST {
            break;
        }
        // A large model may take seconds for one; the first suggestion must not wait for it.
        let Ok(Ok((shown, way))) = timeout_at(end, trip.other_than(&avoid)).await else {
            break;
        };
        avoid.push(way);
        if let Ok(shown) = shown
            && !known.contains(&shown.item.text)
        {
            known.push(shown.item.text.clone());
            found.push(shown);
        }
    }
    found
}

impl Trip {
    /// The best answer on another way than these, and its own way.
    async fn other_than(&self, avoid: &[Vec<u32>]) -> Result<(Result<Shown, Why>, Vec<u32>), Why> {
        let (situation, standing) = self
            .on_pool(|trip| {
                let situation = trip.situate()?;
                let standing = trip.stand(&situation)?;
                Ok((situation, standing))
            })
            .await?;
        let until = situation.until;
        let said = self.generate(&standing, until, avoid).await?;
        let (text, way) = (said.text, said.way);
        let shown = self.on_pool(move |trip| {
            let settled = trip.settle(&text, until).map_err(Why::Answer)?;
            trip.fit(settled, until)
        });
        Ok((shown.await, way))
    }
}
