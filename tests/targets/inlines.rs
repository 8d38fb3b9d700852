// Rust with a trait, a generic and inlined functions: inlines::shop::Cart::total → [inlined]
// inlines::shop::price → [inlined] inlines::shop::tax.
// usage: inlines_rs [SECONDS]
use std::hint::black_box;
use std::time::{Duration, Instant};

mod shop {
    use std::hint::black_box;

    #[inline(always)]
    fn tax(mut x: u64) -> u64 {
        for _ in 0..50_000 {
            x = black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407)); // INNER
        }
        x
    }

    #[inline(always)]
    fn price(x: u64) -> u64 {
        tax(x) + 1 // MIDDLE
    }

    pub struct Cart<T> {
        pub items: T,
    }

    impl<T: Copy + Into<u64>> Cart<T> {
        #[inline(never)]
        pub fn total(&self) -> u64 {
            price(self.items.into()) ^ 2 // OUTER
        }
    }
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(60.0);
    println!("{{\"ready\": {}}}", std::process::id());
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut cart = shop::Cart { items: 7u64 };
    while Instant::now() < end {
        cart.items = black_box(cart.items.wrapping_add(1));
        black_box(cart.total());
    }
}
