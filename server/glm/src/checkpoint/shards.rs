//! The shards of a model that was trained on several devices, put together again.
//!
//! Takes the tensors of each rank (`mp_rank_00_model_states.pt`, `mp_rank_01_…`), gives the whole model's. The makers'
//! scripts split rows of the matrices that feed heads or the inner state, columns of those that gather them again,
//! and keep the rest whole in every shard (THUDM/GLM `change_mp.py`, THUDM/GLM-130B `tools/convert_tp.py`).

use super::{layout::Stored, view::View};

/// How a tensor is split over ranks.
enum Split {
    /// Whole in every shard.
    Not,
    /// Runs of rows, each rank's holding one run of each of so many parts.
    Rows(usize),
    /// Runs of columns.
    Columns,
}

/// The whole model's tensors.
pub(crate) fn merged(shards: Vec<Stored<'_>>) -> Result<Stored<'_>, String> {
    let mut shards = shards;
    if shards.len() == 1 {
        return Ok(shards.remove(0));
    }
    let kind = Family::of(&shards[0]);
    let mut whole = Stored::new();
    for (name, first) in &shards[0] {
        let views = || {
            shards
                .iter()
                .map(|shard| shard.get(name).cloned())
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| format!("tensor `{name}` is missing from one of the shards"))
        };
        let view = match kind.split(name) {
            Split::Not => Some(first.clone()),
            Split::Columns => View::beside(views()?),
            Split::Rows(parts) => interleaved(&views()?, parts),
        };
        let view =
            view.ok_or_else(|| format!("the shards of tensor `{name}` do not fit together"))?;
        whole.insert(name.clone(), view);
    }
    Ok(whole)
}

/// The first part of every rank, then the second of every rank, and so on.
fn interleaved<'a>(views: &[View<'a>], parts: usize) -> Option<View<'a>> {
    let split: Vec<_> = views
        .iter()
        .map(|view| view.split(parts))
        .collect::<Option<_>>()?;
    View::stacked((0..parts).flat_map(|part| split.iter().map(move |rank| rank[part].clone())))
}

/// How the scripts of one family split.
struct Family {
    /// Parts of the matrix of queries, keys and values that are split each for itself: three, or heads as they are.
    attention: usize,
    /// Parts of the feed-forward's upper matrix.
    inner: usize,
}

impl Family {
    fn of(shard: &Stored) -> Family {
        if shard.contains_key("transformer.position_embeddings.weight") {
            return Family {
                attention: 3,
                inner: 1,
            };
        }
        let columns = |name: &str| shard.get(name).map_or(0, View::columns);
        let rows = |name: &str| shard.get(name).map_or(0, View::rows);
        // As in `Layout::of`, for one shard: the lower matrix has the shard's part of the inner state as columns.
        let up = "transformer.layers.0.mlp.dense_h_to_4h.weight";
        let width = rows("transformer.layers.0.input_layernorm.weight");
        let columns_below = columns("transformer.layers.0.mlp.dense_4h_to_h.weight");
        let inner = columns_below.saturating_mul(width) / columns(up).max(1);
        Family {
            attention: 1,
            inner: if rows(up) == inner.saturating_mul(2) {
                2
            } else {
                1
            },
        }
    }

    fn split(&self, name: &str) -> Split {
        let is = |part: &str| name.contains(part);
        if is("word_embeddings") {
            Split::Rows(1)
        } else if is("query_key_value") {
            Split::Rows(self.attention)
        } else if is("dense_h_to_4h") {
            Split::Rows(self.inner)
        } else if is("attention.dense.weight") || is("dense_4h_to_h.weight") {
            Split::Columns
        } else {
            Split::Not
        }
    }
}
