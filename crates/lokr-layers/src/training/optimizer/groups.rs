//! Settings of their own for some of the parameters.

use lokr_core::Scalar;

use super::checks::check_not_negative;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// Parameters with settings of their own, found by their names.
///
/// The pattern stands for whole names, as [`crate::named_parameters`] lists them: `*` for any characters or none, `?`
/// for one. A parameter belongs to the first group whose pattern it matches; a group that matches none is an error at
/// the next step.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, AdamW, Dense, Group, Layer, Optimizer};
/// use ndarray::array;
///
/// let mut layer = Dense::from_arrays(array![[2.0]], array![4.0], Activation::Identity)?;
/// let mut adam = AdamW::new(0.5)?.group(Group::new("*bias").rate_factor(0.1).weight_decay(0.0))?;
/// layer.forward(&array![[3.0]])?;
/// layer.backward(&array![[1.0]])?;
/// adam.step(&mut layer)?; // 2 − 0.5·0.01·2 − 0.5, and 4 − 0.05
/// assert!((layer.parameters() - array![1.49, 3.95]).iter().all(|d: &f64| d.abs() < 1e-7));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Group {
    pattern: String,
    rate_factor: f64,
    weight_decay: Option<f64>,
}

impl Group {
    /// The parameters whose names match `pattern`, with the settings of all until others are set.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self { pattern: pattern.into(), rate_factor: 1.0, weight_decay: None }
    }

    /// The second factors `B` of all LoKr adapters, at `ratio` times the learning rate: LoRA+ (Hayou et al. 2024,
    /// arXiv 2402.12354), which trains the part of an update that starts at zero faster than the other. The paper found
    /// 16 good for LoRA. Where it is `A` that starts at zero ([`crate::LoKrInit::Peft`]), this is
    /// `Group::new("*lokr_w1*").rate_factor(ratio)`.
    #[must_use]
    pub fn lora_plus(ratio: f64) -> Self {
        Self::new("*lokr_w2*").rate_factor(ratio)
    }

    /// What the learning rate is multiplied by; finite and not negative. 1 unless set.
    #[must_use]
    pub fn rate_factor(mut self, factor: f64) -> Self {
        self.rate_factor = factor;
        self
    }

    /// The weight decay; finite and not negative. That of all unless set.
    #[must_use]
    pub fn weight_decay(mut self, decay: f64) -> Self {
        self.weight_decay = Some(decay);
        self
    }
}

/// The groups of an optimizer.
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Groups(Vec<Group>);

/// What one parameter is updated with, still in `f64`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) rate: f64,
    pub(super) decay: f64,
}

impl Groups {
    pub(super) fn push(&mut self, group: Group) {
        self.0.push(group);
    }

    /// The learning rate and the weight decay of the parameter called `name`.
    pub(super) fn rates(&self, name: &str, all: Rates) -> Rates {
        match self.0.iter().find(|group| matches(&group.pattern, name)) {
            Some(group) => group.rates(all),
            None => all,
        }
    }

    /// Checks that all rates are numbers of the type `T`, also where they are multiplied: by each other, and by
    /// `at_most`.
    pub(super) fn check<T: Scalar>(&self, all: Rates, at_most: f64) -> Result<()> {
        for group in &self.0 {
            check_not_negative::<T>("rate factor of a group", group.rate_factor)?;
        }
        for Rates { rate, decay } in self.0.iter().map(|group| group.rates(all)).chain([all]) {
            check_not_negative::<T>("learning rate", rate)?;
            check_not_negative::<T>("weight decay", decay)?;
            for product in [rate * at_most, rate * decay] {
                if !T::from_f64_lossy(product).is_finite() {
                    return Err(LayerError::invalid("learning rate", rate, "one whose steps are finite in the type"));
                }
            }
        }
        Ok(())
    }

    /// Checks that each group has parameters.
    pub(super) fn check_names<T: Scalar>(&self, optimizer: &'static str, network: &dyn Layer<T>) -> Result<()> {
        for group in &self.0 {
            let mut found = false;
            network.visit(&mut |name, _, _| found = found || matches(&group.pattern, name));
            if !found {
                return Err(LayerError::UnknownName { layer: optimizer, name: group.pattern.clone() });
            }
        }
        Ok(())
    }
}

impl Group {
    fn rates(&self, all: Rates) -> Rates {
        Rates { rate: all.rate * self.rate_factor, decay: self.weight_decay.unwrap_or(all.decay) }
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters or none, and `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go on when a character does not fit: the last star takes one more.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_stand_for_whole_names() {
        for (pattern, name, expected) in [
            ("0.weight", "0.weight", true),
            ("0.weight", "10.weight", false),
            ("*bias", "3.bias", true),
            ("*bias", "3.bias_extra", false),
            ("*lokr_w2*", "0.lokr_w2_a", true),
            ("*lokr_w2*", "0.lokr_w1", false),
            ("?.*", "1.weight", true),
            ("?.*", "12.weight", false),
            ("*a*b", "xaybzb", true),
            ("*a*b", "xaybz", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("**x", "x", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
