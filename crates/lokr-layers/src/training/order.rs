//! The order in which an epoch sees the samples.

/// Puts the samples in the order of that seed and epoch: the same on every machine, and known without the epochs
/// before.
///
/// Fisher–Yates, with numbers of `SplitMix64` (Steele, Lea & Flood 2014).
pub(super) fn shuffle(order: &mut [usize], seed: u64, epoch: u64) {
    order.iter_mut().enumerate().for_each(|(i, sample)| *sample = i);
    // Seeds and epochs are spread out first, or the orders of neighbours would resemble each other.
    let mut state = mix(seed).wrapping_add(mix(!epoch));
    for i in (1..order.len()).rev() {
        state = state.wrapping_add(STEP);
        let j = (u128::from(mix(state)) * (i as u128 + 1)) >> 64;
        order.swap(i, j as usize);
    }
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::shuffle;

    fn order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
        let mut order = vec![usize::MAX; count];
        shuffle(&mut order, seed, epoch);
        order
    }

    #[test]
    fn every_sample_comes_once_and_every_place_is_as_likely() {
        let mut counts = [[0; 5]; 5];
        for epoch in 0..5000 {
            let found = order(5, 7, epoch);
            let mut sorted = found.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
            found.iter().enumerate().for_each(|(place, &sample)| counts[place][sample] += 1);
        }
        // 1000 expected each, with a deviation of 28.
        assert!(counts.iter().flatten().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert_eq!(order(1, 1, 1), [0]);
        assert!(order(0, 1, 1).is_empty());
    }

    #[test]
    fn seeds_and_epochs_have_orders_of_their_own() {
        assert_eq!(order(20, 1, 1), order(20, 1, 1));
        assert_ne!(order(20, 1, 1), order(20, 1, 2));
        assert_ne!(order(20, 1, 2), order(20, 2, 1));
        // Saved runs rely on these.
        assert_eq!(order(8, 0, 1), [2, 3, 6, 7, 1, 0, 5, 4]);
    }
}
