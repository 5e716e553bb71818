//! Named colours and their values.

/// A colour that has a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Color {
    Black,
    Red,
    Green,
    Blue,
    Yellow,
    White,
}

impl Color {
    /// The colour's name.
    pub fn name(self) -> &'static str {
        match self {
            Color::Black => "black",
            Color::Red => "red",
            Color::Green => "green",
            Color::Blue => "blue",
            Color::Yellow => "yellow",
            Color::White => "white",
        }
    }

    /// Red, green and blue, each from 0 to 255.
    pub fn rgb(self) -> (u8, u8, u8) {
        match self {
            Color::Black => (0, 0, 0),
            Color::Red => (255, 0, 0),
            Color::Green => (0, 255, 0),
            Color::Blue => (0, 0, 255),
            Color::Yellow => (255, 255, 0),
            Color::White => (255, 255, 255),
        }
    }
}
