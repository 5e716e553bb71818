//! From a view to rows in types of GGML's, as candle multiplies by them.
//!
//! Takes a view whose sizes have been checked, gives runs of rows, each of one type and in the bytes that files have of it.
//! Stored blocks stay as they are, so that a device holds what the file holds.

use super::{
    super::view::{Kind, Strip, View},
    Form, Release, dense, halves, is_all, joined, numbers, quantized, runs, stored_bytes,
};
use crate::{Error, kernels::HalfKind};
use candle_core::quantized::GgmlDType;

/// Super-blocks, whose products candle forms with four rows at a time on Apple's GPU; it would go past the end of others.
const SUPER_BLOCK: usize = 256;
const ROWS: usize = 4;

/// Some rows of a matrix, all of its columns.
pub(crate) struct GgmlRows {
    pub(crate) kind: GgmlDType,
    pub(crate) rows: usize,
    pub(crate) bytes: Vec<u8>,
}

/// Bytes that the view takes as a matrix of that form on a device of candle's; none if candle cannot multiply by it, since
/// it has integers with a scale a row.
pub(in super::super) fn held_by_candle(view: &View, columns: usize, form: Form) -> Option<u64> {
    let parts = parts(view, columns, form)?.into_iter();
    Some(
        parts
            .map(|(kind, part)| size(kind, part.rows(), columns))
            .sum(),
    )
}

/// The same of any view with so many rows that is brought to that form.
pub(in super::super) fn converted_for_candle(
    form: Form,
    rows: usize,
    columns: usize,
) -> Option<u64> {
    Some(size(multiplied(converted(form)?, rows), rows, columns))
}

fn size(kind: GgmlDType, rows: usize, columns: usize) -> u64 {
    let blocks = (rows as u64).saturating_mul(columns as u64) / kind.block_size() as u64;
    blocks.saturating_mul(kind.type_size() as u64)
}

/// The view as a matrix of `columns` numbers a row; none as for [`held_by_candle`].
pub(in super::super) fn rows(
    view: &View,
    columns: usize,
    form: Form,
    release: Release,
) -> Result<Option<Vec<GgmlRows>>, Error> {
    let Some(parts) = parts(view, columns, form) else {
        return Ok(None);
    };
    let load = |(kind, part): (GgmlDType, View)| {
        Ok(GgmlRows {
            kind,
            rows: part.rows(),
            bytes: bytes(&part, columns, kind, release)?,
        })
    };
    let rows = parts.into_iter().map(load);
    rows.collect::<Result<_, Error>>().map(Some)
}

/// The runs of rows that are one matrix of candle's each, with the type that it has.
fn parts<'a>(view: &View<'a>, columns: usize, form: Form) -> Option<Vec<(GgmlDType, View<'a>)>> {
    if form != Form::Stored {
        let kind = multiplied(converted(form)?, view.rows());
        return Some(vec![(kind, view.clone())]);
    }
    let part = |run: &[Strip<'a>]| {
        let view = View {
            shape: Vec::new(),
            strips: run.to_vec(),
        };
        let kind = match view.sheets().next()?.kind {
            Kind::Ggml(kind) if is_all(&view, Kind::Ggml(kind)) => kind,
            // Parts of different types side by side.
            _ if view.sheets().all(|it| matches!(it.kind, Kind::Ggml(_))) => GgmlDType::F32,
            _ => return None,
        };
        Some((multiplied(kind, view.rows()), view))
    };
    runs(view, columns).map(part).collect()
}

/// The type that a form brings numbers to; none if that is none of GGML's.
fn converted(form: Form) -> Option<GgmlDType> {
    match form {
        Form::F32 => Some(GgmlDType::F32),
        Form::Half(HalfKind::F16) => Some(GgmlDType::F16),
        Form::Half(HalfKind::Bf16) => Some(GgmlDType::BF16),
        Form::Ggml(kind) => Some(kind),
        Form::Stored | Form::Scaled(_) => None,
    }
}

/// The type in which candle multiplies by so many rows of a stored type.
fn multiplied(kind: GgmlDType, rows: usize) -> GgmlDType {
    match kind {
        GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => kind,
        GgmlDType::Q8_1 | GgmlDType::Q8K => GgmlDType::F16,
        _ if kind.block_size() == SUPER_BLOCK && !rows.is_multiple_of(ROWS) => GgmlDType::F16,
        _ => kind,
    }
}

/// The rows in that type.
fn bytes(view: &View, columns: usize, kind: GgmlDType, release: Release) -> Result<Vec<u8>, Error> {
    let size = view.rows() * columns / kind.block_size() * kind.type_size();
    let half = |half| {
        let convert = |slab: &View| {
            let bits = halves(&numbers(slab, columns), half);
            Ok(bits.into_iter().flat_map(u16::to_le_bytes).collect())
        };
        joined(view, columns, size, release, convert)
    };
    match kind {
        _ if is_all(view, Kind::Ggml(kind)) => {
            joined(view, columns, size, release, |slab| Ok(stored_bytes(slab)))
        }
        GgmlDType::F32 => {
            let numbers = dense(view, columns, release)?;
            Ok(numbers.into_iter().flat_map(f32::to_le_bytes).collect())
        }
        GgmlDType::F16 => half(HalfKind::F16),
        GgmlDType::BF16 => half(HalfKind::Bf16),
        kind => joined(view, columns, size, release, |slab| {
            quantized(slab, columns, kind)
        }),
    }
}
