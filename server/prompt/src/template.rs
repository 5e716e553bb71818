//! How a family of models wants its prompts laid out, one module a family and version.
//!
//! A template turns encoded pieces of text into Part A; it does not choose the text.

pub mod infill_v1;
