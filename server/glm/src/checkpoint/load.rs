//! From a view to a matrix in memory, in the type wanted.
//!
//! Takes a view whose sizes have been checked, gives a [`Matrix`]. A type that is not the stored one is made a panel
//! of rows at a time, so that no second copy of a tensor is ever in memory.

use super::view::{Kind, Sheet, Strip, View};
use crate::{
    Error, Quant, Weights,
    kernels::{HalfKind, HalfMatrix, Q8Matrix, ScaledKind, ScaledMatrix},
    layer::Matrix,
};
use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use half::{bf16, f16};
use rayon::prelude::*;
use std::{borrow::Cow, sync::Arc};

/// Numbers that one thread converts at a time.
const PANEL: usize = 1 << 18;

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
            Form::Ggml(kind) => {
                (count / kind.block_size() as u64).saturating_mul(kind.type_size() as u64)
            }
            Form::Scaled(ScaledKind::Int8) => count.saturating_add(scales),
            Form::Scaled(ScaledKind::Int4) => (count / 2).saturating_add(scales),
        }
    }
}

/// The view as a matrix of `columns` numbers a row.
pub(super) fn matrix(
    view: &View,
    columns: usize,
    form: Form,
    device: &Device,
) -> Result<Matrix, Error> {
    let rows = view.rows();
    Ok(match form {
        Form::Stored => return stored(view, columns, device),
        Form::F32 => Matrix::Dense(dense(view, columns, device)?),
        Form::Half(kind) => {
            let bits = panels(view, columns, |numbers, _| Ok(halves(numbers, kind)))?;
            Matrix::Half(Arc::new(HalfMatrix::new(bits, kind, rows, columns)))
        }
        Form::Ggml(kind) if is_all(view, Kind::Ggml(kind)) => return stored(view, columns, device),
        Form::Ggml(kind) => ggml(&blocks(view, columns, kind)?, kind, rows, columns, device)?,
        Form::Scaled(kind) => {
            let (codes, scales) = codes(view, columns, kind);
            let scales = scales.iter().map(|scale| scale.to_f32()).collect();
            Matrix::Scaled(Arc::new(ScaledMatrix::new(codes, scales, kind, columns)))
        }
    })
}

/// The view's numbers as f32 (rows, columns).
pub(super) fn dense(view: &View, columns: usize, device: &Device) -> Result<Tensor, Error> {
    let rows = view.rows();
    let mut numbers = vec![0.0; rows * columns];
    let panel = panel_rows(columns);
    numbers
        .par_chunks_mut(panel * columns)
        .enumerate()
        .for_each(|(index, out)| {
            let first = index * panel;
            view.unpack(first..first + out.len() / columns, columns, out);
        });
    Ok(Tensor::from_vec(numbers, (rows, columns), device)?)
}

/// The view's numbers in blocks of a quantized type.
pub(super) fn blocks(view: &View, columns: usize, kind: GgmlDType) -> Result<Vec<u8>, Error> {
    panels(view, columns, |numbers, rows| {
        let panel = Tensor::from_slice(numbers, (rows, columns), &Device::Cpu)?;
        Ok(QTensor::quantize(&panel, kind)?.data()?.into_owned())
    })
}

/// The view's numbers as codes with a scale a row, as GLM-130B's scripts make them: the largest of a row becomes the
/// largest code.
pub(super) fn codes(view: &View, columns: usize, kind: ScaledKind) -> (Vec<u8>, Vec<f16>) {
    let largest = match kind {
        ScaledKind::Int8 => 127.0f32,
        ScaledKind::Int4 => 7.0,
    };
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    let mut row = vec![0.0f32; columns];
    for index in 0..view.rows() {
        view.unpack(index..index + 1, columns, &mut row);
        let top = row.iter().fold(0.0f32, |top, x| top.max(x.abs()));
        let scale = f16::from_f32((top / largest).min(f16::MAX.to_f32()));
        let inverse = scale.to_f32();
        let code = |x: f32| match inverse {
            0.0 => 0,
            _ => (x / inverse).round_ties_even().clamp(-largest, largest) as i8 as u8,
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
        scales.push(scale);
    }
    (codes, scales)
}

/// The numbers in 16 bits.
pub(super) fn halves(numbers: &[f32], kind: HalfKind) -> Vec<u16> {
    let bits = |&x: &f32| match kind {
        HalfKind::F16 => f16::from_f32(x).to_bits(),
        HalfKind::Bf16 => bf16::from_f32(x).to_bits(),
    };
    numbers.iter().map(bits).collect()
}

/// Converts panels of rows on all threads, in batches, and joins what comes out.
pub(super) fn panels<T: Send + Clone>(
    view: &View,
    columns: usize,
    convert: impl Fn(&[f32], usize) -> Result<Vec<T>, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let (rows, panel) = (view.rows(), panel_rows(columns));
    let batch = panel * rayon::current_num_threads();
    let mut out = Vec::new();
    for first in (0..rows).step_by(batch) {
        let starts: Vec<_> = (first..rows.min(first + batch)).step_by(panel).collect();
        let parts: Vec<Result<Vec<T>, Error>> = starts
            .into_par_iter()
            .map(|start| {
                let count = panel.min(rows - start);
                let mut numbers = vec![0.0; count * columns];
                view.unpack(start..start + count, columns, &mut numbers);
                convert(&numbers, count)
            })
            .collect();
        for part in parts {
            let part = part?;
            if out.is_empty() {
                out.reserve_exact(part.len() * rows.div_ceil(panel));
            }
            out.extend(part);
        }
    }
    Ok(out)
}

fn panel_rows(columns: usize) -> usize {
    (PANEL / columns.max(1)).max(1)
}

/// Each run of strips of one type becomes a matrix; several are stacked.
fn stored(view: &View, columns: usize, device: &Device) -> Result<Matrix, Error> {
    let runs = view
        .strips
        .chunk_by(|a, b| match (&a.sheets[..], &b.sheets[..]) {
            ([a], [b]) => a.kind == b.kind && a.bits(columns) == b.bits(columns),
            _ => false,
        });
    let mut parts = runs
        .map(|run| one(run, columns, device))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => Matrix::Stack(parts),
    })
}

/// A matrix of strips of one type.
fn one(run: &[Strip], columns: usize, device: &Device) -> Result<Matrix, Error> {
    let view = View {
        shape: Vec::new(),
        strips: run.to_vec(),
    };
    let rows = view.rows();
    let kind = run[0].sheets[0].kind;
    let is_one_kind = is_all(&view, kind);
    if run[0].sheets.len() > 1 && !(is_one_kind && kind.is_plain()) {
        return beside(&run[0], columns, device);
    }
    match kind {
        Kind::Ggml(GgmlDType::F32) => Ok(Matrix::Dense(dense(&view, columns, device)?)),
        Kind::Ggml(half @ (GgmlDType::F16 | GgmlDType::BF16)) => {
            let half = match half {
                GgmlDType::F16 => HalfKind::F16,
                _ => HalfKind::Bf16,
            };
            let mut bits = Vec::with_capacity(rows * columns);
            for_each_run(run, |bytes| {
                bits.extend(
                    bytes
                        .as_chunks::<2>()
                        .0
                        .iter()
                        .map(|pair| u16::from_le_bytes(*pair)),
                );
            });
            Ok(Matrix::Half(Arc::new(HalfMatrix::new(
                bits, half, rows, columns,
            ))))
        }
        Kind::Ggml(kind) => match run {
            [strip] => ggml(strip.sheets[0].bytes, kind, rows, columns, device),
            _ => ggml(&joined(run), kind, rows, columns, device),
        },
        _ => {
            let scales = run.iter().filter_map(|strip| strip.sheets[0].scales());
            let kind = match run[0].sheets[0].bits(columns) {
                Some(4) => ScaledKind::Int4,
                _ => ScaledKind::Int8,
            };
            let matrix = ScaledMatrix::new(joined(run), scales.flatten().collect(), kind, columns);
            Ok(Matrix::Scaled(Arc::new(matrix)))
        }
    }
}

/// Sheets with scales of their own cannot share a row.
fn beside(strip: &Strip, columns: usize, device: &Device) -> Result<Matrix, Error> {
    let stored: usize = strip.sheets.iter().map(Sheet::columns).sum();
    let parts = strip.sheets.iter().map(|sheet| {
        let alone = Strip {
            rows: strip.rows,
            sheets: vec![*sheet],
        };
        one(&[alone], sheet.columns() * columns / stored.max(1), device)
    });
    Ok(Matrix::Beside(parts.collect::<Result<_, _>>()?))
}

fn ggml(
    blocks: &[u8],
    kind: GgmlDType,
    rows: usize,
    columns: usize,
    device: &Device,
) -> Result<Matrix, Error> {
    if kind == GgmlDType::Q8_0 && device.is_cpu() {
        return Ok(Matrix::Q8(Arc::new(Q8Matrix::pack(blocks, rows, columns))));
    }
    let storage = QStorage::from_data(Cow::Borrowed(blocks), device, kind)?;
    let tensor = Arc::new(QTensor::new(storage, (rows, columns))?);
    Ok(Matrix::Candle(QMatMul::from_arc(tensor)?))
}

/// The bytes of the strips in the order of rows.
pub(super) fn joined(run: &[Strip]) -> Vec<u8> {
    let mut joined = Vec::new();
    let sheets = run.iter().flat_map(|strip| &strip.sheets);
    joined.reserve_exact(sheets.map(|sheet| sheet.bytes.len()).sum());
    for_each_run(run, |bytes| joined.extend(bytes));
    joined
}

fn for_each_run(run: &[Strip], mut take: impl FnMut(&[u8])) {
    for strip in run {
        if let [sheet] = &strip.sheets[..] {
            take(sheet.bytes);
            continue;
        }
        for row in 0..strip.rows {
            for sheet in &strip.sheets {
                let length = sheet.bytes.len() / strip.rows;
                take(&sheet.bytes[row * length..][..length]);
            }
        }
    }
}

/// Whether every number of the view is of the kind.
pub(super) fn is_all(view: &View, kind: Kind) -> bool {
    let mut sheets = view.sheets();
    sheets.all(|sheet| sheet.kind == kind)
}
