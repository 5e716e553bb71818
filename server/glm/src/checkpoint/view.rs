//! Stored numbers and how they are put together: a tensor as the model wants it, made of rows of tensors as they lie
//! in files.
//!
//! Takes byte ranges of mapped files, gives a [`View`]: strips of rows, each of one or more sheets side by side.
//! Concatenating matrices, taking single heads out of an interleaved one, merging the shards of a parallel run: all
//! of it is done here on addresses alone, and nothing is copied until a tensor is loaded. Knows nothing of names.

use candle_core::quantized::{GgmlDType, QuantizedType};
use half::{bf16, f16};
use std::{borrow::Cow, ops::Range};

/// Most tensors of one file: the largest mixture of experts of this family has 60,000.
pub(crate) const MOST_TENSORS: usize = 1 << 16;
/// Longest name of a tensor, in bytes.
pub(crate) const LONGEST_NAME: usize = 256;
/// Most dimensions of a tensor.
pub(crate) const MOST_DIMENSIONS: usize = 8;

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A type of GGML's, plain numbers among them.
    Ggml(GgmlDType),
    /// Signed bytes. With a scale a row they are weights: one a byte, or two, the even column in the high half.
    Codes,
    /// A type that no weight of this family has, by its name.
    Other(&'static str),
}

impl Kind {
    /// The name that people use.
    pub(crate) fn name(self) -> String {
        match self {
            Kind::Ggml(GgmlDType::F32) => "f32".to_owned(),
            Kind::Ggml(GgmlDType::F16) => "f16".to_owned(),
            Kind::Ggml(GgmlDType::BF16) => "bf16".to_owned(),
            Kind::Ggml(GgmlDType::Q2K) => "q2_k".to_owned(),
            Kind::Ggml(GgmlDType::Q3K) => "q3_k".to_owned(),
            Kind::Ggml(GgmlDType::Q4K) => "q4_k".to_owned(),
            Kind::Ggml(GgmlDType::Q5K) => "q5_k".to_owned(),
            Kind::Ggml(GgmlDType::Q6K) => "q6_k".to_owned(),
            Kind::Ggml(kind) => format!("{kind:?}").to_lowercase(),
            Kind::Codes => "int8".to_owned(),
            Kind::Other(name) => name.to_owned(),
        }
    }

    /// Bytes of `count` numbers that lie together, if they are whole blocks and the product does not overflow.
    pub(crate) fn size(self, count: usize) -> Option<usize> {
        match self {
            Kind::Ggml(kind) if count.is_multiple_of(kind.block_size()) => {
                (count / kind.block_size()).checked_mul(kind.type_size())
            }
            Kind::Ggml(_) => None,
            Kind::Codes => Some(count),
            Kind::Other(name) => match name {
                "i64" | "u64" | "f64" => count.checked_mul(8),
                "i32" | "u32" => count.checked_mul(4),
                "i16" | "u16" => count.checked_mul(2),
                _ => Some(count),
            },
        }
    }

    /// Whether these are plain f32, f16 or bf16 numbers.
    pub(crate) fn is_plain(self) -> bool {
        matches!(
            self,
            Kind::Ggml(GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16)
        )
    }
}

/// One tensor of a file: its description and exactly as many bytes as shape and kind need.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    /// Row-major, outermost dimension first.
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: Kind,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry, if `bytes` has as many as shape and kind need; the error says how many they are.
    pub(crate) fn new(shape: Vec<usize>, kind: Kind, bytes: &'a [u8]) -> Result<Entry<'a>, String> {
        let size = size(&shape, kind)?;
        if size != bytes.len() {
            return Err(format!(
                "of shape {shape:?} and type {} has {} bytes where {size} belong to it",
                kind.name(),
                bytes.len()
            ));
        }
        Ok(Entry { shape, kind, bytes })
    }
}

/// Bytes of a tensor; the error says why there can be no such tensor.
pub(crate) fn size(shape: &[usize], kind: Kind) -> Result<usize, String> {
    if let (Kind::Ggml(ggml), Some(&columns)) = (kind, shape.last())
        && !columns.is_multiple_of(ggml.block_size())
    {
        return Err(format!(
            "has rows of {columns} numbers, not whole blocks of {}",
            ggml.block_size()
        ));
    }
    shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n))
        .and_then(|count| kind.size(count))
        .ok_or_else(|| format!("of shape {shape:?} is too large for any machine"))
}

/// Tensors may share their bytes, as a head does that is the embedding. If many did, a small file would fill a large
/// memory; the error says so.
pub(crate) fn shared_in_bounds<'a, 'b: 'a>(
    tensors: impl Iterator<Item = &'a Entry<'b>>,
    file: &[u8],
) -> Result<(), String> {
    let sizes = tensors.map(|entry| entry.bytes.len() as u64);
    let sum = sizes.fold(0, u64::saturating_add);
    if sum / 2 > file.len() as u64 {
        return Err(format!(
            "its tensors have {sum} bytes together and the file has {}: they overlap",
            file.len()
        ));
    }
    Ok(())
}

/// Rows of one stored tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sheet<'a> {
    pub(crate) kind: Kind,
    rows: usize,
    /// Numbers in a row; for codes, bytes in a row.
    columns: usize,
    pub(crate) bytes: &'a [u8],
    /// One scale a row, of codes that are weights.
    scales: Option<(Kind, &'a [u8])>,
}

impl<'a> Sheet<'a> {
    fn slice(&self, range: Range<usize>) -> Sheet<'a> {
        let cut = |bytes: &'a [u8]| {
            let row = bytes.len() / self.rows.max(1);
            &bytes[range.start * row..range.end * row]
        };
        Sheet {
            rows: range.len(),
            bytes: cut(self.bytes),
            scales: self.scales.map(|(kind, bytes)| (kind, cut(bytes))),
            ..*self
        }
    }

    /// Numbers in a row; for codes, bytes in a row.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Bits of a weight where the sheet is to have `columns` weights a row; `None` if it cannot.
    pub(crate) fn bits(&self, columns: usize) -> Option<u32> {
        match columns {
            _ if self.columns == columns => Some(8),
            _ if self.kind == Kind::Codes && 2 * self.columns == columns => Some(4),
            _ => None,
        }
    }

    /// The scale of each row.
    pub(crate) fn scales(&self) -> Option<Vec<f32>> {
        let (kind, bytes) = self.scales?;
        let mut scales = vec![0.0; self.rows];
        plain(kind, bytes, &mut scales);
        Some(scales)
    }

    /// Writes the numbers of all rows to `out`, `columns` a row. Only for sheets that [`View::check`] let through.
    fn unpack(&self, columns: usize, out: &mut [f32]) {
        match self.kind {
            Kind::Ggml(GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) => {
                plain(self.kind, self.bytes, out);
            }
            Kind::Ggml(kind) => {
                let blocks: Box<dyn QuantizedType> = kind.from_data(Cow::Borrowed(self.bytes));
                if let Ok(candle_core::CpuStorage::F32(numbers)) = blocks.dequantize(out.len()) {
                    out.copy_from_slice(&numbers);
                }
            }
            Kind::Codes => {
                let scales = self.scales().unwrap_or_default();
                let rows = self.bytes.chunks_exact(self.columns.max(1)).zip(scales);
                let is_int4 = self.bits(columns) == Some(4);
                for ((codes, scale), out) in rows.zip(out.chunks_exact_mut(columns)) {
                    if is_int4 {
                        for (&code, pair) in codes.iter().zip(out.chunks_exact_mut(2)) {
                            pair[0] = scale * f32::from(code as i8 >> 4);
                            pair[1] = scale * f32::from((code << 4) as i8 >> 4);
                        }
                    } else {
                        for (&code, out) in codes.iter().zip(out) {
                            *out = scale * f32::from(code as i8);
                        }
                    }
                }
            }
            Kind::Other(_) => {}
        }
    }
}

/// Plain numbers as f32.
fn plain(kind: Kind, bytes: &[u8], out: &mut [f32]) {
    match kind {
        Kind::Ggml(GgmlDType::F32) => {
            for (bytes, out) in bytes.as_chunks::<4>().0.iter().zip(out) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        Kind::Ggml(GgmlDType::F16) => {
            for (bytes, out) in bytes.as_chunks::<2>().0.iter().zip(out) {
                *out = f16::from_le_bytes(*bytes).to_f32();
            }
        }
        _ => {
            for (bytes, out) in bytes.as_chunks::<2>().0.iter().zip(out) {
                *out = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
    }
}

/// Rows that are made of the same sheets, side by side.
#[derive(Debug, Clone)]
pub(crate) struct Strip<'a> {
    pub(crate) rows: usize,
    pub(crate) sheets: Vec<Sheet<'a>>,
}

/// A tensor: strips, one below the other. A vector is a matrix of one column, a stack of matrices one tall matrix.
#[derive(Debug, Clone)]
pub(crate) struct View<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) strips: Vec<Strip<'a>>,
}

impl<'a> View<'a> {
    /// A stored tensor as it is.
    pub(crate) fn of(entry: &Entry<'a>) -> View<'a> {
        let columns = match entry.shape[..] {
            [] | [_] => 1,
            [.., columns] => columns,
        };
        let count: usize = entry.shape.iter().product();
        let rows = count.checked_div(columns).unwrap_or(0);
        let sheet = Sheet {
            kind: entry.kind,
            rows,
            columns,
            bytes: entry.bytes,
            scales: None,
        };
        View {
            shape: entry.shape.clone(),
            strips: vec![Strip {
                rows,
                sheets: vec![sheet],
            }],
        }
    }

    /// The same codes with their scales: a vector of one number a row. `None` if the two do not fit together.
    pub(crate) fn scaled(mut self, scales: &Entry<'a>) -> Option<View<'a>> {
        let [strip] = &mut self.strips[..] else {
            return None;
        };
        let sheet = &mut strip.sheets[0];
        let fits = sheet.kind == Kind::Codes
            && self.shape.len() == 2
            && scales.kind.is_plain()
            && scales.shape.iter().product::<usize>() == sheet.rows;
        sheet.scales = Some((scales.kind, scales.bytes));
        fits.then_some(self)
    }

    /// Rows of the tensor, as a matrix.
    pub(crate) fn rows(&self) -> usize {
        self.strips.iter().map(|strip| strip.rows).sum()
    }

    /// Columns as stored: for codes, bytes a row.
    pub(crate) fn columns(&self) -> usize {
        self.strips.first().map_or(0, |strip| {
            strip.sheets.iter().map(|sheet| sheet.columns).sum()
        })
    }

    /// Bytes that the tensor takes in its files.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |sheet: &Sheet| sheet.bytes.len() + sheet.scales.map_or(0, |it| it.1.len());
        self.sheets().map(|sheet| bytes(sheet) as u64).sum()
    }

    /// The stored tensors' parts that the view is made of.
    pub(crate) fn sheets(&self) -> impl Iterator<Item = &Sheet<'a>> {
        self.strips.iter().flat_map(|strip| &strip.sheets)
    }

    /// Some of the rows; `None` if there are not so many.
    pub(crate) fn slice(&self, range: Range<usize>) -> Option<View<'a>> {
        if range.start > range.end || range.end > self.rows() {
            return None;
        }
        let mut strips = Vec::new();
        let mut first = 0;
        for strip in &self.strips {
            let from = range.start.max(first);
            let to = range.end.min(first + strip.rows);
            if from < to {
                let within = from - first..to - first;
                strips.push(Strip {
                    rows: to - from,
                    sheets: strip
                        .sheets
                        .iter()
                        .map(|sheet| sheet.slice(within.clone()))
                        .collect(),
                });
            }
            first += strip.rows;
        }
        Some(View {
            shape: self.shape_with(range.len()),
            strips,
        })
    }

    /// The views one below the other; `None` if their rows differ in length or there are none.
    pub(crate) fn stacked(views: impl IntoIterator<Item = View<'a>>) -> Option<View<'a>> {
        let mut views = views.into_iter();
        let mut all = views.next()?;
        for view in views {
            if view.logical() != all.logical() || (view.shape.len() > 1) != (all.shape.len() > 1) {
                return None;
            }
            all.strips.extend(view.strips);
        }
        all.shape = all.shape_with(all.rows());
        Some(all)
    }

    /// The views side by side; `None` if they do not have the same strips.
    pub(crate) fn beside(views: impl IntoIterator<Item = View<'a>>) -> Option<View<'a>> {
        let mut views = views.into_iter();
        let mut all = views.next()?;
        for view in views {
            if view.strips.len() != all.strips.len() {
                return None;
            }
            for (ours, theirs) in all.strips.iter_mut().zip(view.strips) {
                if ours.rows != theirs.rows {
                    return None;
                }
                ours.sheets.extend(theirs.sheets);
            }
        }
        all.shape = vec![all.rows(), all.columns()];
        Some(all)
    }

    /// `parts` equal runs of rows.
    pub(crate) fn split(&self, parts: usize) -> Option<Vec<View<'a>>> {
        let rows = self.rows();
        if parts == 0 || !rows.is_multiple_of(parts) {
            return None;
        }
        let part = rows / parts;
        (0..parts)
            .map(|i| self.slice(i * part..(i + 1) * part))
            .collect()
    }

    /// The transposed order of `outer` runs of `inner` runs each: run (o, i) goes to place (i, o). So queries, keys
    /// and values that lie together a head become all queries, all keys, all values.
    pub(crate) fn regrouped(&self, outer: usize, inner: usize) -> Option<View<'a>> {
        let runs = self.split(outer.checked_mul(inner)?)?;
        let order = (0..inner).flat_map(|i| (0..outer).map(move |o| o * inner + i));
        View::stacked(order.map(|run| runs[run].clone()))
    }

    /// What is wrong with the view as a matrix of these sizes, if anything.
    pub(crate) fn check(&self, rows: usize, columns: usize) -> Result<(), String> {
        let wrong = || {
            format!(
                "has shape {:?} where the model's sizes ask for [{rows}, {columns}]",
                self.shape
            )
        };
        if self.rows() != rows {
            return Err(wrong());
        }
        for strip in &self.strips {
            let is_int4 = strip.sheets.iter().all(|sheet| sheet.kind == Kind::Codes)
                && 2 * strip
                    .sheets
                    .iter()
                    .map(|sheet| sheet.columns)
                    .sum::<usize>()
                    == columns;
            let mut sum = 0;
            for sheet in &strip.sheets {
                sum += sheet.columns * if is_int4 { 2 } else { 1 };
                match sheet.kind {
                    Kind::Codes if sheet.scales.is_none() => {
                        return Err("is of bytes without their scales (`…_scale`)".to_owned());
                    }
                    Kind::Other(name) => {
                        return Err(format!(
                            "has type {name}, which no weight of this family has"
                        ));
                    }
                    Kind::Ggml(kind) => {
                        let alignment = if sheet.kind.is_plain() { 1 } else { 2 };
                        if sheet.bytes.as_ptr().align_offset(alignment) != 0
                            || kind == GgmlDType::Q8K
                        {
                            return Err("does not begin at an aligned address".to_owned());
                        }
                    }
                    Kind::Codes => {}
                }
            }
            if sum != columns {
                return Err(wrong());
            }
        }
        Ok(())
    }

    /// Writes the rows of `range` as f32, `columns` numbers each. The view has passed [`View::check`].
    pub(crate) fn unpack(&self, range: Range<usize>, columns: usize, out: &mut [f32]) {
        let Some(part) = self.slice(range) else {
            return;
        };
        let mut out = out;
        for strip in &part.strips {
            let (mine, rest) = out.split_at_mut(strip.rows * columns);
            out = rest;
            if let [sheet] = &strip.sheets[..] {
                sheet.unpack(columns, mine);
                continue;
            }
            let stored: usize = strip.sheets.iter().map(|sheet| sheet.columns).sum();
            let factor = columns / stored.max(1);
            let mut first = 0;
            for sheet in &strip.sheets {
                let width = sheet.columns * factor;
                let mut numbers = vec![0.0; strip.rows * width];
                sheet.unpack(width, &mut numbers);
                for (row, numbers) in numbers.chunks_exact(width.max(1)).enumerate() {
                    mine[row * columns + first..][..width].copy_from_slice(numbers);
                }
                first += width;
            }
        }
    }

    /// Numbers in a row of the matrix, and whether they are codes: views stacked on one another agree in it. Codes of
    /// 4 bits may lie on codes of 8, so only their kind counts.
    fn logical(&self) -> usize {
        self.columns()
    }

    fn shape_with(&self, rows: usize) -> Vec<usize> {
        match self.shape[..] {
            [] | [_] => vec![rows],
            _ => vec![rows, self.columns()],
        }
    }
}
