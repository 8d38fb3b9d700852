// Rust: methods of traits, closures, generics, functions inside functions.
use std::collections::HashMap;

trait Shape {
    fn area(&self) -> f64;
}
struct Square(f64);
struct Circle(f64);

impl Shape for Square {
    #[inline(never)]
    fn area(&self) -> f64 {
        self.0 * self.0
    }
}
impl Shape for Circle {
    fn area(&self) -> f64 {
        fn helper(x: f64) -> f64 {
            x * 3.14
        }
        helper(self.0) * self.0
    }
}

mod outer {
    pub mod inner {
        #[inline(never)]
        pub fn sum<T: Into<u64> + Copy>(v: &[T]) -> u64 {
            v.iter().map(|x| (*x).into()).filter(|x| x % 3 != 0).sum()
        }
    }
}

fn main() {
    let n = std::env::args().count();
    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(Square(2.0)), Box::new(Circle(n as f64))];
    let mut seen = HashMap::new();
    for s in &shapes {
        *seen.entry(format!("{}", s.area())).or_insert(0u64) += 1;
    }
    println!("{:?} {}", seen, outer::inner::sum(&[1u32, 2, 3]));
}
