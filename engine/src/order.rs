//! Sorting by numbers, once for all: each type that the standard library sorts adds ten kilobytes to the page.

/// Indices of `keys` from the smallest key to the largest; equal ones in their order.
pub fn ascending(keys: impl Iterator<Item = u64>) -> Vec<usize> {
    let mut order: Vec<(u64, u32)> = keys.zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index as usize).collect()
}

/// Indices of `keys` from the largest key to the smallest; equal ones in their order.
pub fn descending(keys: impl Iterator<Item = u64>) -> Vec<usize> {
    ascending(keys.map(|key| !key))
}

/// A key that is ordered as [`f64::total_cmp`] orders numbers.
pub fn of_number(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_keep_their_order_both_ways() {
        let keys = [3u64, 1, 3, 0, 1];
        assert_eq!(ascending(keys.into_iter()), [3, 1, 4, 0, 2]);
        assert_eq!(descending(keys.into_iter()), [0, 2, 1, 4, 3]);
    }

    #[test]
    fn numbers_are_ordered_as_the_standard_library_orders_them() {
        let values =
            [f64::NEG_INFINITY, -1.5, -0.0, 0.0, f64::MIN_POSITIVE, 2.0, f64::INFINITY, f64::NAN, -f64::NAN];
        for a in values {
            for b in values {
                assert_eq!(of_number(a).cmp(&of_number(b)), a.total_cmp(&b), "{a} {b}");
            }
        }
    }
}
