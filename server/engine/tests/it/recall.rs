//! What a text says elsewhere decides where the model is told to trust it, and is a part of what an answer is kept for.

use std::sync::Arc;

use crate::harness::{Each, answer, check, engine, job, model, plain, tiny};
use engine::{Class, Flow, Job, Recall};
use glm::RecallWeights;

/// The text counts for everything, the model for next to nothing.
const TRUSTED: RecallWeights = RecallWeights {
    discount: 0.0,
    strength: 1e-3,
    decline: 0.0,
};

fn beside(before: &[u32]) -> Job {
    let sides = [Arc::from(before), Arc::from([])];
    Job {
        recall: Some(Recall::new(sides, &[], None, TRUSTED)),
        ..job(&tiny(), Class::Invoked, 1, &[9, 8, 7, 6, 5, 4], &[3])
    }
}

#[test]
fn an_answer_goes_on_as_the_text_does_with_drafts_and_without() {
    let text = [30, 31, 32, 33, 34, 30, 31];
    let found = answer(&engine(&tiny()), beside(&text));
    assert_eq!(found.ids[..4], [32, 33, 34, 30]);
    let drafted = Job {
        drafts: vec![Arc::from([3, 32, 33, 90, 91])],
        ..beside(&text)
    };
    let drafted = answer(&engine(&tiny()), drafted);
    assert_eq!(drafted.ids, found.ids);
    let apart = found.logprobs.iter().zip(&drafted.logprobs);
    assert!(
        apart
            .into_iter()
            .all(|(one, other)| (one - other).abs() < 1e-3)
    );
}

#[test]
fn tokens_stand_beside_the_same_text_alone() {
    let engine = engine(&tiny());
    let text = [30, 31, 32, 33, 34, 30, 31];
    let first = answer(&engine, beside(&text));
    let again = answer(&engine, beside(&text));
    assert_eq!(again.ids, first.ids);
    assert_eq!((again.decoded, again.replayed), (0, first.decoded));
    let other = answer(&engine, beside(&[40, 41, 40]));
    assert_eq!(other.ids[..3], [41, 40, 41]);
    assert_eq!(other.replayed, 0);
    let bare = Job {
        recall: None,
        ..beside(&text)
    };
    let found = answer(&engine, bare.clone());
    assert_eq!(found.replayed, 0);
    check(
        &found,
        &plain(&model(&tiny()), &bare, Each(|_| Flow::More)),
        "without",
    );
}
