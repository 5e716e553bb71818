//! From a view to a matrix in memory, in the type wanted.
//!
//! Takes a view whose sizes have been checked, gives a [`Matrix`]. It is made a slab of rows at a time, and the pages
//! of the file are given back as it grows, so that no second copy of a tensor is ever in memory.

mod ggml;

pub(crate) use ggml::GgmlRows;
pub(super) use ggml::{converted_for_candle, held_by_candle, rows as ggml_rows};

use super::view::{Kind, Sheet, Strip, View};
use crate::{
    Error, Quant, Weights,
    kernels::{FloatMatrix, HalfKind, HalfMatrix, PackedMatrix, ScaledKind, Stored},
    layer::Matrix,
};
use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use half::{bf16, f16};
use rayon::prelude::*;
use std::sync::Arc;

/// Numbers that one thread converts at a time.
const SLAB: usize = 1 << 18;
/// Rows of a slab are a multiple of this, so that the panels of our kernels begin where slabs begin.
const ALIGNED_ROWS: usize = 16;

/// Tells that rows have been copied, and that their pages of the file are not needed any more.
pub(super) type Release<'a> = &'a (dyn Fn(&View) + Sync);

/// The type that a matrix is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Stored,
    F32,
    Half(HalfKind),
    Ggml(GgmlDType),
    Scaled(ScaledKind),
}

impl Form {
    /// The form of the tensor `name` with rows of `columns` numbers. Quantized are the matrices of layers and a head
    /// of its own; embeddings, learned tables and the experts' router stay as they are. Rows that are no whole number
    /// of blocks fall back: to q8_0 if they are whole blocks of 32, to f16 if not; odd rows of int4 to int8.
    pub(super) fn of(weights: Weights, name: &str, columns: usize) -> Form {
        match weights {
            Weights::AsStored => Form::Stored,
            Weights::F32 => Form::F32,
            Weights::F16 => Form::Half(HalfKind::F16),
            Weights::Bf16 => Form::Half(HalfKind::Bf16),
            Weights::Quantized(_) if name.contains("_embd.") || name.contains("ffn_gate_inp.") => {
                Form::Stored
            }
            Weights::Quantized(Quant::Int8) => Form::Scaled(ScaledKind::Int8),
            Weights::Quantized(Quant::Int4) if columns.is_multiple_of(2) => {
                Form::Scaled(ScaledKind::Int4)
            }
            Weights::Quantized(Quant::Int4) => Form::Scaled(ScaledKind::Int8),
            Weights::Quantized(quant) => {
                let kind = match quant {
                    Quant::Q6K => GgmlDType::Q6K,
                    Quant::Q5K => GgmlDType::Q5K,
                    Quant::Q4K => GgmlDType::Q4K,
                    Quant::Q4_0 => GgmlDType::Q4_0,
                    _ => GgmlDType::Q8_0,
                };
                match columns {
                    _ if columns.is_multiple_of(kind.block_size()) => Form::Ggml(kind),
                    _ if columns.is_multiple_of(GgmlDType::Q8_0.block_size()) => {
                        Form::Ggml(GgmlDType::Q8_0)
                    }
                    _ => Form::Half(HalfKind::F16),
                }
            }
        }
    }

    /// Bytes that `rows` of `columns` numbers take in memory, where `stored` is what they take as stored.
    pub(super) fn bytes(self, rows: u64, columns: u64, stored: u64) -> u64 {
        // Sizes that no machine has saturate.
        let count = rows.saturating_mul(columns);
        let scales = rows.saturating_mul(4);
        match self {
            Form::Stored => stored,
            Form::F32 => count.saturating_mul(4),
            Form::Half(_) => count.saturating_mul(2),
            Form::Ggml(kind) => held(kind, rows, columns),
            Form::Scaled(kind) => packed_size(kind.into(), rows, columns).saturating_add(scales),
        }
    }

    /// Numbers of a row that are packed together, between which it can be cut and nowhere else; `stored` is how many
    /// there are as stored.
    pub(super) fn block(self, stored: usize) -> usize {
        let packed = |stored: Stored| stored.packing().inputs();
        match self {
            Form::Stored => stored,
            Form::F32 | Form::Half(_) => 1,
            Form::Ggml(kind) => packed_as(kind).map_or(1, packed),
            Form::Scaled(kind) => packed(kind.into()),
        }
    }
}

/// How a type of GGML's is packed; `None` if it is held as plain numbers.
fn packed_as(kind: GgmlDType) -> Option<Stored> {
    Some(match kind {
        GgmlDType::Q8_0 => Stored::Q8_0,
        GgmlDType::Q5_0 => Stored::Q5_0,
        GgmlDType::Q4_0 => Stored::Q4_0,
        GgmlDType::Q3K => Stored::Q3K,
        GgmlDType::Q4K => Stored::Q4K,
        GgmlDType::Q5K => Stored::Q5K,
        GgmlDType::Q6K => Stored::Q6K,
        _ => return None,
    })
}

fn packed_size(stored: Stored, rows: u64, columns: u64) -> u64 {
    // No machine has so many.
    let (rows, columns) = (rows as usize, columns as usize);
    PackedMatrix::size(stored.packing(), rows, columns) as u64
}

/// Bytes that a matrix of a type of GGML's takes in memory.
fn held(kind: GgmlDType, rows: u64, columns: u64) -> u64 {
    let count = rows.saturating_mul(columns);
    match (kind, packed_as(kind)) {
        (_, Some(stored)) => packed_size(stored, rows, columns),
        (GgmlDType::F32, _) => count.saturating_mul(4),
        _ => count.saturating_mul(2),
    }
}

/// Bytes that the view takes in memory as a matrix of `columns` numbers a row in the types stored, in `parts` matrices
/// of as many rows.
pub(super) fn held_as_stored(view: &View, columns: usize, parts: usize) -> u64 {
    let sheet = |sheet: &Sheet, rows: usize, columns: usize| match sheet.kind {
        Kind::Ggml(kind) => held(kind, rows as u64, columns as u64),
        _ => Form::Scaled(scaled_kind(sheet, columns)).bytes(rows as u64, columns as u64, 0),
    };
    let run = |run: &[Strip]| -> u64 {
        let rows = run.iter().map(|strip| strip.rows).sum();
        match &run[0].sheets[..] {
            [one] => sheet(one, rows, columns),
            sheets => sheets
                .iter()
                .map(|each| sheet(each, rows, columns_of(each, &run[0], columns)))
                .sum(),
        }
    };
    let views = view.split(parts).unwrap_or_default();
    views
        .iter()
        .flat_map(|view| runs(view, columns).map(run))
        .sum()
}

/// Bytes that the view takes as a matrix of that form on a device; none if devices cannot multiply by it, since parts of
/// a row have scales of their own.
pub(super) fn held_on_device(view: &View, columns: usize, form: Form) -> Option<u64> {
    let is_split = |strip: &Strip| strip.sheets.len() > 1;
    let is_plain = |strip: &Strip| strip.sheets.iter().all(|sheet| sheet.kind.is_plain());
    match form {
        Form::Stored if view.strips.iter().any(|it| is_split(it) && !is_plain(it)) => None,
        Form::Stored => Some(held_as_stored(view, columns, 1)),
        form => Some(form.bytes(view.rows() as u64, columns as u64, 0)),
    }
}

/// Numbers of a row of the view that are packed together in a matrix in the types stored.
pub(super) fn block_as_stored(view: &View, columns: usize) -> usize {
    let block = |sheet: &Sheet| match sheet.kind {
        Kind::Ggml(kind) => Form::Ggml(kind).block(1),
        _ => Form::Scaled(scaled_kind(sheet, columns)).block(1),
    };
    view.sheets().map(block).max().unwrap_or(1)
}

/// The view as a matrix of `columns` numbers a row.
pub(super) fn matrix(
    view: &View,
    columns: usize,
    form: Form,
    release: Release,
) -> Result<Matrix, Error> {
    let rows = view.rows();
    Ok(match form {
        Form::Stored => return stored(view, columns, release),
        Form::F32 => float(view, columns, release)?,
        Form::Half(kind) => {
            let convert = |slab: &View| Ok(halves(&numbers(slab, columns), kind));
            let bits = joined(view, columns, rows * columns, release, convert)?;
            Matrix::Half(Arc::new(HalfMatrix::new(bits, kind, rows, columns)))
        }
        Form::Ggml(kind) if is_all(view, Kind::Ggml(kind)) => {
            return stored(view, columns, release);
        }
        Form::Ggml(kind) => {
            let convert = |slab: &View| quantized(slab, columns, kind);
            ggml(view, columns, kind, release, convert)?
        }
        Form::Scaled(kind) => {
            let mut scales = Vec::with_capacity(rows);
            let mut panels = Vec::with_capacity(PackedMatrix::size(
                Stored::from(kind).packing(),
                rows,
                columns,
            ));
            let convert = |slab: &View| {
                let (codes, scales) = code_rows(slab, columns, kind);
                Ok((
                    PackedMatrix::panels_of(kind.into(), &codes, columns),
                    scales,
                ))
            };
            slabs(view, columns, release, convert, |slab| {
                panels.extend(slab.0);
                scales.extend(slab.1.iter().map(|scale| scale.to_f32()));
            })?;
            let packing = Stored::from(kind).packing();
            packed(PackedMatrix::of_panels(
                packing, panels, scales, rows, columns,
            ))
        }
    })
}

/// The view's numbers as f32, row by row.
pub(super) fn dense(view: &View, columns: usize, release: Release) -> Result<Vec<f32>, Error> {
    let convert = |slab: &View| Ok(numbers(slab, columns));
    joined(view, columns, view.rows() * columns, release, convert)
}

fn float(view: &View, columns: usize, release: Release) -> Result<Matrix, Error> {
    let numbers = dense(view, columns, release)?;
    let matrix = FloatMatrix::new(numbers, view.rows(), columns);
    Ok(Matrix::Float(Arc::new(matrix)))
}

/// The view's numbers in blocks of a quantized type.
pub(super) fn blocks(view: &View, columns: usize, kind: GgmlDType) -> Result<Vec<u8>, Error> {
    let size = view.rows() * columns / kind.block_size() * kind.type_size();
    let convert = |slab: &View| quantized(slab, columns, kind);
    joined(view, columns, size, &|_| {}, convert)
}

/// The view's numbers as codes with a scale a row, as GLM-130B's scripts make them: the largest of a row becomes the
/// largest code.
pub(super) fn codes(
    view: &View,
    columns: usize,
    kind: ScaledKind,
    release: Release,
) -> Result<(Vec<u8>, Vec<f16>), Error> {
    let row_bytes = match kind {
        ScaledKind::Int8 => columns,
        ScaledKind::Int4 => columns / 2,
    };
    let mut codes = Vec::with_capacity(view.rows() * row_bytes);
    let mut scales = Vec::with_capacity(view.rows());
    let convert = |slab: &View| Ok(code_rows(slab, columns, kind));
    slabs(view, columns, release, convert, |slab| {
        codes.extend(slab.0);
        scales.extend(slab.1);
    })?;
    Ok((codes, scales))
}

fn code_rows(view: &View, columns: usize, kind: ScaledKind) -> (Vec<u8>, Vec<f16>) {
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for row in numbers(view, columns).chunks_exact(columns) {
        scales.push(code_row(row, kind, &mut codes));
    }
    (codes, scales)
}

fn packed(matrix: PackedMatrix) -> Matrix {
    Matrix::Packed(Arc::new(matrix))
}

/// Appends the codes of one row and gives their scale.
fn code_row(row: &[f32], kind: ScaledKind, codes: &mut Vec<u8>) -> f16 {
    let largest = match kind {
        ScaledKind::Int8 => 127.0f32,
        ScaledKind::Int4 => 7.0,
    };
    let top = row.iter().fold(0.0f32, |top, x| top.max(x.abs()));
    let scale = f16::from_f32((top / largest).min(f16::MAX.to_f32()));
    let unit = scale.to_f32();
    let code = |x: f32| match unit {
        0.0 => 0,
        _ => (x / unit).round_ties_even().clamp(-largest, largest) as i8 as u8,
    };
    match kind {
        ScaledKind::Int8 => codes.extend(row.iter().map(|&x| code(x))),
        ScaledKind::Int4 => codes.extend(
            row.as_chunks::<2>()
                .0
                .iter()
                .map(|&[even, odd]| code(even) << 4 | code(odd) & 0x0f),
        ),
    }
    scale
}

/// The numbers in 16 bits.
fn halves(numbers: &[f32], kind: HalfKind) -> Vec<u16> {
    let bits = |&x: &f32| match kind {
        HalfKind::F16 => f16::from_f32(x).to_bits(),
        HalfKind::Bf16 => bf16::from_f32(x).to_bits(),
    };
    numbers.iter().map(bits).collect()
}

fn numbers(view: &View, columns: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; view.rows() * columns];
    view.unpack(0..view.rows(), columns, &mut numbers);
    numbers
}

fn quantized(view: &View, columns: usize, kind: GgmlDType) -> Result<Vec<u8>, Error> {
    let size = (view.rows(), columns);
    let numbers = Tensor::from_vec(numbers(view, columns), size, &Device::Cpu)?;
    Ok(QTensor::quantize(&numbers, kind)?.data()?.into_owned())
}

/// Converts slabs of rows on all threads and hands what comes out to `take`, in order. Never is more of the tensor in
/// memory twice than a few slabs.
fn slabs<T: Send>(
    view: &View,
    columns: usize,
    release: Release,
    convert: impl Fn(&View) -> Result<T, Error> + Sync,
    mut take: impl FnMut(T),
) -> Result<(), Error> {
    let rows = view.rows();
    let slab = (SLAB / columns.max(1))
        .max(1)
        .next_multiple_of(ALIGNED_ROWS);
    let cuts: Vec<_> = (0..rows)
        .step_by(slab)
        .filter_map(|first| view.slice(first..rows.min(first + slab)))
        .collect();
    for batch in cuts.chunks(rayon::current_num_threads()) {
        let converted: Vec<_> = batch.par_iter().map(&convert).collect();
        for converted in converted {
            take(converted?);
        }
        batch.iter().for_each(release);
    }
    Ok(())
}

/// The slabs' numbers or bytes, one after the other: `size` of them.
fn joined<T: Send>(
    view: &View,
    columns: usize,
    size: usize,
    release: Release,
    convert: impl Fn(&View) -> Result<Vec<T>, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let mut out = Vec::with_capacity(size);
    slabs(view, columns, release, convert, |slab| out.extend(slab))?;
    Ok(out)
}

/// Runs of strips of one type.
fn runs<'a, 'b>(view: &'a View<'b>, columns: usize) -> impl Iterator<Item = &'a [Strip<'b>]> {
    let is_same = move |a: &Strip, b: &Strip| match (&a.sheets[..], &b.sheets[..]) {
        ([a], [b]) => a.kind == b.kind && a.bits(columns) == b.bits(columns),
        _ => false,
    };
    view.strips.chunk_by(is_same)
}

/// The integers of a sheet that is to have `columns` weights a row.
fn scaled_kind(sheet: &Sheet, columns: usize) -> ScaledKind {
    match sheet.bits(columns) {
        Some(4) => ScaledKind::Int4,
        _ => ScaledKind::Int8,
    }
}

/// Weights that a row of one of the sheets of a strip has, of `columns` together.
fn columns_of(sheet: &Sheet, strip: &Strip, columns: usize) -> usize {
    let stored: usize = strip.sheets.iter().map(Sheet::columns).sum();
    sheet.columns() * columns / stored.max(1)
}

/// Each run of strips of one type becomes a matrix; several are stacked.
fn stored(view: &View, columns: usize, release: Release) -> Result<Matrix, Error> {
    let mut parts = runs(view, columns)
        .map(|run| one(run, columns, release))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => Matrix::Stack(parts),
    })
}

/// A matrix of strips of one type.
fn one(run: &[Strip], columns: usize, release: Release) -> Result<Matrix, Error> {
    let view = View {
        shape: Vec::new(),
        strips: run.to_vec(),
    };
    let rows = view.rows();
    let kind = run[0].sheets[0].kind;
    let is_one_kind = is_all(&view, kind);
    if run[0].sheets.len() > 1 && !(is_one_kind && kind.is_plain()) {
        return beside(&run[0], columns, release);
    }
    match kind {
        Kind::Ggml(GgmlDType::F32) => float(&view, columns, release),
        Kind::Ggml(half @ (GgmlDType::F16 | GgmlDType::BF16)) => {
            let half = match half {
                GgmlDType::F16 => HalfKind::F16,
                _ => HalfKind::Bf16,
            };
            let convert = |slab: &View| {
                let bytes = stored_bytes(slab);
                let pairs = bytes.as_chunks::<2>().0.iter();
                Ok(pairs.map(|pair| u16::from_le_bytes(*pair)).collect())
            };
            let bits = joined(&view, columns, rows * columns, release, convert)?;
            Ok(Matrix::Half(Arc::new(HalfMatrix::new(
                bits, half, rows, columns,
            ))))
        }
        Kind::Ggml(kind) => ggml(&view, columns, kind, release, |slab| Ok(stored_bytes(slab))),
        _ => {
            let scales = run.iter().filter_map(|strip| strip.sheets[0].scales());
            let kind = scaled_kind(&run[0].sheets[0], columns);
            let scales = scales.flatten().collect();
            let panels = panels(&view, columns, kind.into(), release, |slab| {
                Ok(stored_bytes(slab))
            })?;
            let packing = Stored::from(kind).packing();
            Ok(packed(PackedMatrix::of_panels(
                packing, panels, scales, rows, columns,
            )))
        }
    }
}

/// Sheets with scales of their own cannot share a row.
fn beside(strip: &Strip, columns: usize, release: Release) -> Result<Matrix, Error> {
    let parts = strip.sheets.iter().map(|sheet| {
        let alone = Strip {
            rows: strip.rows,
            sheets: vec![*sheet],
        };
        let columns = columns_of(sheet, strip, columns);
        one(&[alone], columns, release)
    });
    Ok(Matrix::Beside(parts.collect::<Result<_, _>>()?))
}

/// The matrix of the blocks that `convert` makes of slabs. Types that are not packed are held as f16: none of those who
/// publish models of this family uses them.
fn ggml(
    view: &View,
    columns: usize,
    kind: GgmlDType,
    release: Release,
    convert: impl Fn(&View) -> Result<Vec<u8>, Error> + Sync,
) -> Result<Matrix, Error> {
    let rows = view.rows();
    let Some(stored) = packed_as(kind) else {
        let convert = |slab: &View| Ok(halves(&numbers(slab, columns), HalfKind::F16));
        let bits = joined(view, columns, rows * columns, release, convert)?;
        let matrix = HalfMatrix::new(bits, HalfKind::F16, rows, columns);
        return Ok(Matrix::Half(Arc::new(matrix)));
    };
    let panels = panels(view, columns, stored, release, convert)?;
    Ok(packed(PackedMatrix::of_panels(
        stored.packing(),
        panels,
        Vec::new(),
        rows,
        columns,
    )))
}

/// The panels of the blocks that `convert` makes of slabs.
fn panels(
    view: &View,
    columns: usize,
    stored: Stored,
    release: Release,
    convert: impl Fn(&View) -> Result<Vec<u8>, Error> + Sync,
) -> Result<Vec<u8>, Error> {
    let size = PackedMatrix::size(stored.packing(), view.rows(), columns);
    let convert = |slab: &View| Ok(PackedMatrix::panels_of(stored, &convert(slab)?, columns));
    joined(view, columns, size, release, convert)
}

/// The stored bytes of the rows, in their order.
pub(super) fn stored_bytes(view: &View) -> Vec<u8> {
    let size = view.sheets().map(|sheet| sheet.bytes.len()).sum();
    let mut bytes = Vec::with_capacity(size);
    for strip in &view.strips {
        if let [sheet] = &strip.sheets[..] {
            bytes.extend(sheet.bytes);
            continue;
        }
        for row in 0..strip.rows {
            for sheet in &strip.sheets {
                let length = sheet.bytes.len() / strip.rows;
                bytes.extend(&sheet.bytes[row * length..][..length]);
            }
        }
    }
    bytes
}

/// Whether every number of the view is of the kind.
pub(super) fn is_all(view: &View, kind: Kind) -> bool {
    let mut sheets = view.sheets();
    sheets.all(|sheet| sheet.kind == kind)
}
