//! The tensors that a model of given sizes has: the list that inspecting, verifying and quantizing go through.
//!
//! Takes a [`Config`], gives our names with their shapes; it is what the layers ask for as they are loaded.

use crate::{Attention, Config, Norm, Positions};

/// A tensor that the model has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    /// Whether a checkpoint may lack it.
    pub(crate) optional: bool,
}

/// How the tensor is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Numbers.
    Vector(usize),
    /// Rows and columns, kept as f32.
    Table(usize, usize),
    /// Rows and columns, in the type wanted.
    Matrix(usize, usize),
    /// Matrices, rows and columns of each.
    Experts(usize, usize, usize),
}

impl Shape {
    /// Rows and columns of the tensor as one matrix.
    pub(crate) fn matrix(self) -> (usize, usize) {
        match self {
            Shape::Vector(length) => (length, 1),
            Shape::Table(rows, columns) | Shape::Matrix(rows, columns) => (rows, columns),
            Shape::Experts(count, rows, columns) => (count.saturating_mul(rows), columns),
        }
    }

    /// The tensor's dimensions, the outermost first.
    pub(crate) fn dimensions(self) -> Vec<usize> {
        match self {
            Shape::Vector(length) => vec![length],
            Shape::Table(rows, columns) | Shape::Matrix(rows, columns) => vec![rows, columns],
            Shape::Experts(count, rows, columns) => vec![count, rows, columns],
        }
    }
}

/// All tensors of the model, in the order of the layers.
pub(crate) fn needs(config: &Config) -> Vec<Need> {
    let mut list = List {
        needs: Vec::new(),
        config,
    };
    list.add(
        "token_embd.weight",
        Shape::Matrix(config.vocabulary, config.width),
    );
    if let Positions::Learned { rows } = config.positions {
        let tables = ["position_embd.weight", "block_position_embd.weight"];
        for table in &tables[..rows.min(2)] {
            list.add(table, Shape::Table(config.places(), config.width));
        }
    }
    if config.top_query {
        list.add(
            "top_query_embd.weight",
            Shape::Table(config.places(), config.width),
        );
    }
    for layer in 0..config.layers {
        list.layer(layer);
    }
    list.norm("output_norm", config.norm, config.width);
    if !config.tied {
        list.add(
            "output.weight",
            Shape::Matrix(config.vocabulary, config.width),
        );
    }
    list.needs
}

struct List<'a> {
    needs: Vec<Need>,
    config: &'a Config,
}

impl List<'_> {
    fn add(&mut self, name: &str, shape: Shape) {
        self.needs.push(Need {
            name: name.to_owned(),
            shape,
            optional: false,
        });
    }

    fn norm(&mut self, name: &str, norm: Norm, width: usize) {
        self.add(&format!("{name}.weight"), Shape::Vector(width));
        if norm == Norm::Layer {
            self.add(&format!("{name}.bias"), Shape::Vector(width));
        }
    }

    fn linear(&mut self, name: &str, rows: usize, columns: usize, bias: bool) {
        self.add(&format!("{name}.weight"), Shape::Matrix(rows, columns));
        if bias {
            self.add(&format!("{name}.bias"), Shape::Vector(rows));
        }
    }

    fn layer(&mut self, layer: usize) {
        let config = self.config;
        let width = config.width;
        let name = |part: &str| format!("blk.{layer}.{part}");
        self.norm(&name("attn_norm"), config.norm, width);
        match config.attention {
            Attention::Grouped(sizes) => {
                let rows = sizes.queries() + 2 * sizes.keys();
                self.linear(&name("attn_qkv"), rows, width, sizes.qkv_bias);
                if sizes.qk_norm {
                    self.norm(&name("attn_q_norm"), Norm::Rms, sizes.head_size);
                    self.norm(&name("attn_k_norm"), Norm::Rms, sizes.head_size);
                }
                self.linear(
                    &name("attn_output"),
                    width,
                    sizes.queries(),
                    config.linear_bias,
                );
            }
            Attention::Latent(sizes) => {
                let queries = sizes.heads * (sizes.nope + sizes.rope);
                match sizes.query_rank {
                    Some(rank) => {
                        self.linear(&name("attn_q_a"), rank, width, false);
                        self.norm(&name("attn_q_a_norm"), Norm::Rms, rank);
                        self.linear(&name("attn_q_b"), queries, rank, false);
                    }
                    None => self.linear(&name("attn_q"), queries, width, false),
                }
                let rows = sizes.kv_rank + sizes.rope;
                self.linear(&name("attn_kv_a_mqa"), rows, width, false);
                self.norm(&name("attn_kv_a_norm"), Norm::Rms, sizes.kv_rank);
                let rows = sizes.heads * (sizes.nope + sizes.value);
                self.add(&name("attn_kv_b.weight"), Shape::Table(rows, sizes.kv_rank));
                self.linear(
                    &name("attn_output"),
                    width,
                    sizes.heads * sizes.value,
                    false,
                );
            }
        }
        self.norm(&name("ffn_norm"), config.norm, width);
        if config.block == crate::Block::Sandwich {
            self.norm(&name("attn_post_norm"), config.norm, width);
            self.norm(&name("ffn_post_norm"), config.norm, width);
        }
        match config.experts.filter(|_| config.has_experts(layer)) {
            Some(sizes) => {
                let inner = sizes.inner;
                self.add(
                    &name("ffn_gate_inp.weight"),
                    Shape::Table(sizes.count, width),
                );
                self.needs.push(Need {
                    name: name("exp_probs_b.bias"),
                    shape: Shape::Vector(sizes.count),
                    optional: true,
                });
                let up = Shape::Experts(sizes.count, 2 * inner, width);
                self.add(&name("ffn_gate_up_exps.weight"), up);
                let down = Shape::Experts(sizes.count, width, inner);
                self.add(&name("ffn_down_exps.weight"), down);
                if sizes.shared > 0 {
                    let inner = sizes.shared * inner;
                    self.linear(&name("ffn_gate_up_shexp"), 2 * inner, width, false);
                    self.linear(&name("ffn_down_shexp"), width, inner, false);
                }
            }
            None => {
                let inner = config.inner;
                match config.gated {
                    true => self.linear(&name("ffn_gate_up"), 2 * inner, width, config.linear_bias),
                    false => self.linear(&name("ffn_up"), inner, width, config.linear_bias),
                }
                self.linear(&name("ffn_down"), width, inner, config.linear_bias);
            }
        }
    }
}
