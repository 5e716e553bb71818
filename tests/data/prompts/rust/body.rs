pub struct Point {
    pub x: f32,
    pub y: f32,
}

impl Point {
    pub fn norm(&self) -> f32 {‸}

    pub fn scaled(&self, by: f32) -> Point {
        Point { x: self.x * by, y: self.y * by }
    }
}
