//! Five points of a face, and how two faces lie to each other.

/// The eyes, the tip of the nose and the corners of the mouth, each pair from the left of the picture to the right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Points(pub [[f32; 2]; 5]);

impl Points {
    /// Where they are, in shares of the side, if nothing is known: in a face that fills four fifths of a picture. Read off the mean
    /// of 300 real faces.
    pub const MIDDLE: Points = Points([[0.34, 0.41], [0.66, 0.41], [0.5, 0.54], [0.41, 0.71], [0.59, 0.71]]);

    /// Middle of some of the points.
    pub fn mean(&self, which: &[usize]) -> [f32; 2] {
        let sum = |axis: usize| which.iter().map(|&point| self.0[point][axis]).sum::<f32>();
        [sum(0), sum(1)].map(|sum| sum / which.len().max(1) as f32)
    }

    /// About the height of the face's box: by the eyes' distance or their distance to the mouth, which of the two the pose
    /// shortens less.
    pub fn unit(&self) -> f32 {
        let distance = |[a, b]: [f32; 2], [x, y]: [f32; 2]| (a - x).hypot(b - y);
        let [left, right, ..] = self.0;
        let (eyes, mouth) = (self.mean(&[0, 1]), self.mean(&[3, 4]));
        (distance(left, right) / 0.4).max(distance(eyes, mouth) / 0.375).max(f32::MIN_POSITIVE)
    }

    /// Direction from the left eye to the right one, of length 1.
    pub fn eye_line(&self) -> [f32; 2] {
        let [[left, top], [right, bottom], ..] = self.0;
        let length = (right - left).hypot(bottom - top);
        if length > 0.0 { [(right - left) / length, (bottom - top) / length] } else { [1.0, 0.0] }
    }

    /// Factor of size and turn (degrees, counter-clockwise on the screen) that bring these points onto `other`'s with the least
    /// squared distances, each set around its own mean.
    pub fn similarity(&self, other: &Points) -> (f32, f32) {
        const ALL: [usize; 5] = [0, 1, 2, 3, 4];
        let (from, to) = (self.mean(&ALL), other.mean(&ALL));
        let (mut along, mut across, mut size) = (0.0f32, 0.0f32, f32::MIN_POSITIVE);
        for (a, b) in self.0.iter().zip(&other.0) {
            let ([x, y], [u, v]) = ([a[0] - from[0], a[1] - from[1]], [b[0] - to[0], b[1] - to[1]]);
            along += x * u + y * v;
            across += y * u - x * v;
            size += x * x + y * y;
        }
        (along.hypot(across) / size, across.atan2(along).to_degrees())
    }

    /// How much the faces differ in pose: the squared distances left after the best fit, in squares of `other`'s unit.
    pub fn difference(&self, other: &Points) -> f32 {
        let (scale, degrees) = self.similarity(other);
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (from, to, unit) = (self.mean(&[0, 1, 2, 3, 4]), other.mean(&[0, 1, 2, 3, 4]), other.unit());
        let left = |(a, b): (&[f32; 2], &[f32; 2])| {
            let (x, y) = (a[0] - from[0], a[1] - from[1]);
            let put = [(cos * x + sin * y) * scale, (cos * y - sin * x) * scale];
            (put[0] - b[0] + to[0]).hypot(put[1] - b[1] + to[1]).powi(2)
        };
        self.0.iter().zip(&other.0).map(left).sum::<f32>() / (unit * unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [`Points::MIDDLE`], enlarged, turned and moved.
    fn moved(scale: f32, degrees: f32) -> Points {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let put = |[x, y]: [f32; 2]| [(cos * x + sin * y) * scale + 7.0, (cos * y - sin * x) * scale - 3.0];
        Points(Points::MIDDLE.0.map(put))
    }

    #[test]
    fn a_similar_face_is_recognised_as_similar() {
        for (scale, degrees) in [(1.0, 0.0), (2.5, 30.0), (0.4, -75.0), (1.2, 170.0)] {
            let (found, turn) = Points::MIDDLE.similarity(&moved(scale, degrees));
            assert!((found - scale).abs() < 1e-4 && (turn - degrees).abs() < 1e-2, "{found}, {turn}");
            assert!(Points::MIDDLE.difference(&moved(scale, degrees)) < 1e-6);
            assert!((moved(scale, degrees).unit() / Points::MIDDLE.unit() / scale - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn a_turned_head_differs() {
        let mut turned = Points::MIDDLE;
        turned.0[2][0] += 0.1;
        let mut more = turned;
        more.0[2][0] += 0.1;
        let (little, much) = (Points::MIDDLE.difference(&turned), Points::MIDDLE.difference(&more));
        assert!(little > 0.005 && much > 2.0 * little, "{little}, {much}");
    }
}
