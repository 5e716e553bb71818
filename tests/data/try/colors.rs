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

    /// Whether white text can be read on it.
    pub fn is_dark(self) -> bool {
        match self {
            Color::Black | Color::Blue => true,
            Color::Red | Color::Green => false,
            Color::Yellow | Color::White => false,
        }
    }
}

impl std::fmt::Display for Color {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
