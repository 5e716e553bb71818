//! Rows of f32 times a matrix that stays in its packed form on the device.
//!
//! Takes matrices as they lie in memory, gives [`Matrix`]; takes activations, gives products, and rows of an embedding.
//! A few rows go through `product.cu`, which reads the weights once for up to eight rows and rounds activations as the
//! processor's kernels do; many rows go through `gemm.cu`, on the tensor cores.

use super::device::{Arg, Buffer, Device, DeviceError, Launch, View};
use crate::kernels::{FloatMatrix, HalfKind, HalfMatrix, PackedMatrix, Packing, Unpack};

/// Rows that one block of `product.cu` takes at most.
const TOGETHER: usize = 8;
/// Rows from which on tensor cores are used. Fewer read the weights again from the second-level cache for each eight, which
/// costs less than tiles that are half empty, and get the same bits in every company.
pub const MANY_ROWS: usize = 33;
/// Threads of a block for packed weights, outputs of a block for plain ones; as in `product.cu`.
const PACKED_THREADS: u32 = 256;
const PLAIN_THREADS: u32 = 128;
const PLAIN_OUTPUTS: usize = 8;
/// Outputs of a panel, inputs of a block.
const PANEL: usize = 16;
const BLOCK: usize = 32;
/// Bytes of a block of activations as integers: `Integers` of `packed.cuh`.
const INTEGERS: usize = 48;
/// Blocks of a launch below which tiles are made smaller: about the processors of a large GPU.
const FEW_BLOCKS: usize = 128;

/// The type of a matrix on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Integers of few bits, in panels.
    Packed(Packing),
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// f32.
    F32,
}

impl Type {
    /// As kernels are called.
    fn name(self) -> &'static str {
        match self {
            Type::Packed(Packing::Q8_0) => "q8_0",
            Type::Packed(Packing::Q4_0) => "q4_0",
            Type::Packed(Packing::Q4K) => "q4k",
            Type::Packed(Packing::Q5K) => "q5k",
            Type::Packed(Packing::Q6K) => "q6k",
            Type::Packed(Packing::Int8) => "int8",
            Type::Packed(Packing::Int4) => "int4",
            Type::F16 => "f16",
            Type::Bf16 => "bf16",
            Type::F32 => "f32",
        }
    }

    /// Integers that stand for one activation: one where activations are rounded, three where not.
    fn limbs(self) -> usize {
        match self {
            Type::Packed(packing) if packing.is_fine() => 3,
            _ => 1,
        }
    }
}

/// A matrix (outputs, inputs) on the device.
#[derive(Debug)]
pub struct Matrix {
    kind: Type,
    weights: Buffer,
    /// One an output, of int8 and int4.
    scales: Option<Buffer>,
    outputs: usize,
    inputs: usize,
}

/// Learned tables of positions (places, width), and where in them each token stands: (table, positions).
pub type Places<'a> = [Option<(View<'a>, View<'a>)>; 2];

impl Matrix {
    /// Copies a packed matrix to the device, as it is.
    pub fn packed(device: &dyn Device, matrix: &PackedMatrix) -> Result<Matrix, DeviceError> {
        let scales = matrix.scales();
        Ok(Matrix {
            kind: Type::Packed(matrix.packing()),
            weights: device.filled(matrix.panels())?,
            scales: match scales {
                [] => None,
                scales => Some(device.filled(scales)?),
            },
            outputs: matrix.rows(),
            inputs: matrix.columns(),
        })
    }

    /// Copies a matrix of 16-bit numbers to the device.
    pub fn half(device: &dyn Device, matrix: &HalfMatrix) -> Result<Matrix, DeviceError> {
        Ok(Matrix {
            kind: match matrix.kind() {
                HalfKind::F16 => Type::F16,
                HalfKind::Bf16 => Type::Bf16,
            },
            weights: device.filled(matrix.bits())?,
            scales: None,
            outputs: matrix.rows(),
            inputs: matrix.columns(),
        })
    }

    /// Copies a matrix of f32 to the device.
    pub fn float(device: &dyn Device, matrix: &FloatMatrix) -> Result<Matrix, DeviceError> {
        Ok(Matrix {
            kind: Type::F32,
            weights: device.filled(matrix.numbers())?,
            scales: None,
            outputs: matrix.rows(),
            inputs: matrix.columns(),
        })
    }

    /// How many outputs there are.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// How many inputs there are.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Bytes that the weights take on the device.
    pub fn bytes(&self) -> usize {
        self.weights.bytes() + self.scales.as_ref().map_or(0, Buffer::bytes)
    }

    /// The memory that it lies in.
    pub(crate) fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer> {
        let Matrix {
            kind: _,
            weights,
            scales,
            outputs: _,
            inputs: _,
        } = self;
        std::iter::once(weights).chain(scales)
    }

    /// Bytes of room that [`Matrix::multiply`] needs for so many rows.
    pub fn room(&self, rows: usize) -> usize {
        if rows >= MANY_ROWS {
            return halves_bytes(rows, self.inputs) + rows * size_of::<f32>();
        }
        match self.kind {
            Type::Packed(_) => rows * self.kind.limbs() * self.inputs.div_ceil(BLOCK) * INTEGERS,
            _ => 0,
        }
    }

    /// out(row, n) ← Σ x(row, k) · weight(n, k) + bias(n). x is (rows, inputs); a row of `out` begins `stride` numbers after
    /// the one before. `room` is scratch memory, which the next product may use again.
    ///
    /// # Panics
    /// If a size is wrong.
    #[expect(clippy::too_many_arguments, reason = "the sizes of one product")]
    pub fn multiply(
        &self,
        device: &dyn Device,
        x: View,
        rows: usize,
        bias: Option<View>,
        out: View,
        stride: usize,
        room: View,
    ) -> Result<(), DeviceError> {
        if rows == 0 {
            return Ok(());
        }
        let (inputs, outputs) = (self.inputs, self.outputs);
        assert!(x.bytes() >= 4 * rows * inputs, "rows of all inputs");
        assert!(
            outputs <= stride && out.bytes() >= 4 * ((rows - 1) * stride + outputs),
            "room for all outputs"
        );
        assert!(
            bias.is_none_or(|bias| bias.bytes() == 4 * outputs),
            "a bias an output"
        );
        assert!(room.bytes() >= self.room(rows), "room for activations");
        let aligned = |view: View| view.address().is_multiple_of(16);
        assert!(aligned(x) && aligned(room), "vectors of 16 bytes");
        let sizes = [rows, inputs, outputs, stride].map(|size| Arg::U32(size as u32));
        if rows >= MANY_ROWS {
            return self.multiply_many(device, x, rows, bias, out, sizes, room);
        }
        // As few blocks of rows as there can be, and no more rows in each than there have to be.
        let together = rows.div_ceil(rows.div_ceil(TOGETHER)).next_power_of_two();
        let groups = rows.div_ceil(together) as u32;
        let kernel = format!("product_{}_{together}", self.kind.name());
        let Type::Packed(_) = self.kind else {
            let mut args = vec![x.into(), (&self.weights).into(), bias.into(), out.into()];
            args.extend(sizes);
            let launch = Launch {
                kernel: &kernel,
                grid: [outputs.div_ceil(PLAIN_OUTPUTS) as u32, groups, 1],
                threads: PLAIN_THREADS,
                args: &args,
            };
            // SAFETY: the sizes have been checked.
            return unsafe { device.launch(&launch) };
        };
        let limbs = self.kind.limbs() as u32;
        let launch = Launch {
            kernel: "integers",
            grid: [inputs.div_ceil(4 * BLOCK) as u32, rows as u32, 1],
            threads: 128,
            args: &[x.into(), room.into(), sizes[1], limbs.into()],
        };
        // SAFETY: there are so many rows, and room for their integers.
        unsafe { device.launch(&launch) }?;
        let scales = self.scales.as_ref().map(Buffer::view);
        let mut args = vec![room.into(), (&self.weights).into(), scales.into()];
        args.extend([Arg::from(bias), out.into()]);
        args.extend(sizes);
        args.push(limbs.into());
        let launch = Launch {
            kernel: &kernel,
            grid: [outputs.div_ceil(PANEL) as u32, groups, 1],
            threads: PACKED_THREADS,
            args: &args,
        };
        // SAFETY: the sizes have been checked, and the integers are those of the rows.
        unsafe { device.launch(&launch) }
    }

    #[expect(clippy::too_many_arguments, reason = "the sizes of one product")]
    fn multiply_many(
        &self,
        device: &dyn Device,
        x: View,
        rows: usize,
        bias: Option<View>,
        out: View,
        sizes: [Arg; 4],
        room: View,
    ) -> Result<(), DeviceError> {
        let bytes = halves_bytes(rows, self.inputs);
        let (halves, units) = (room.slice(0, bytes), room.slice(bytes, 4 * rows));
        let launch = Launch {
            kernel: "halves",
            grid: [rows as u32, 1, 1],
            threads: 256,
            args: &[x.into(), halves.into(), units.into(), sizes[1]],
        };
        // SAFETY: there are so many rows, and room for them in f16 with a number each.
        unsafe { device.launch(&launch) }?;
        let blocks = |tile: usize| [rows.div_ceil(tile), self.outputs.div_ceil(tile)];
        let tile = match blocks(128) {
            [down, across] if down * across >= FEW_BLOCKS => 128,
            _ => 64,
        };
        let [down, across] = blocks(tile);
        let scales = self.scales.as_ref().map(Buffer::view);
        let mut args = vec![halves.into(), units.into(), (&self.weights).into()];
        args.extend([Arg::from(scales), bias.into(), out.into()]);
        args.extend(sizes);
        let launch = Launch {
            kernel: &format!("gemm_{}_{tile}", self.kind.name()),
            grid: [down as u32, across as u32, 1],
            threads: 2 * tile as u32,
            args: &args,
        };
        // SAFETY: the sizes have been checked.
        unsafe { device.launch(&launch) }
    }

    /// out (tokens, inputs) ← the rows of the tokens' ids (u32), with the rows of their places added. Each id is below the
    /// outputs, each position below its table's places: the caller has seen to that.
    ///
    /// # Panics
    /// If a size is wrong.
    pub fn embed(
        &self,
        device: &dyn Device,
        ids: View,
        places: Places,
        out: View,
    ) -> Result<(), DeviceError> {
        let tokens = ids.bytes() / 4;
        assert_eq!(out.bytes(), 4 * tokens * self.inputs, "a row a token");
        let mut args: Vec<Arg> = vec![(&self.weights).into()];
        if let Type::Packed(_) = self.kind {
            args.push(self.scales.as_ref().map(Buffer::view).into());
        }
        args.push(ids.into());
        for place in places {
            args.push(place.map(|place| place.0).into());
            args.push(place.map(|place| place.1).into());
        }
        args.extend([out.into(), Arg::U32(self.inputs as u32)]);
        let launch = Launch {
            kernel: &format!("embed_{}", self.kind.name()),
            grid: [tokens as u32, 1, 1],
            threads: 128,
            args: &args,
        };
        // SAFETY: the sizes have been checked, the caller vouches for ids and positions.
        unsafe { device.launch(&launch) }
    }
}

/// Bytes of rows in f16, filled up to whole blocks.
fn halves_bytes(rows: usize, inputs: usize) -> usize {
    rows * inputs.next_multiple_of(BLOCK) * 2
}

/// out (numbers of `rows`, width) ← rows of `x` by their numbers (u32), each of which is one of x: the caller has seen to
/// that.
///
/// # Panics
/// If a size is wrong.
pub fn gather(
    device: &dyn Device,
    x: View,
    rows: View,
    width: usize,
    out: View,
) -> Result<(), DeviceError> {
    let count = rows.bytes() / 4;
    assert_eq!(out.bytes(), 4 * count * width, "a place for each row");
    let launch = Launch {
        kernel: "gather",
        grid: [count as u32, 1, 1],
        threads: 128,
        args: &[x.into(), rows.into(), out.into(), Arg::U32(width as u32)],
    };
    // SAFETY: the sizes have been checked, the caller vouches for the rows' numbers.
    unsafe { device.launch(&launch) }
}

#[cfg(test)]
mod tests;
