//! Adapters on the layers of a network.

use lokr_core::Scalar;

use super::freeze::set_all_frozen;
use super::reach::{leaf_names, leaves, leaves_mut};
use super::report::{AdaptReport, AdaptedLayer};
use super::select::Select;
use super::sequential::Sequential;
use super::settings::AdaptSettings;
use crate::adapter::Prepared;
use crate::error::{LayerError, Result};
use crate::layer::Layer;

/// What becomes of a layer.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Adapted,
    TrainedWhole,
    PassedOver,
    Rest,
}

impl<T: Scalar> Sequential<T> {
    /// Puts adapters on the layers that `targets` mean, those of networks inside this one included, freezes the rest,
    /// and says what it did. Each adapter keeps its layer's name.
    ///
    /// `targets`: a name or a list of names, by PEFT's rule for `target_modules` (the whole name, or what follows a
    /// dot); forms with `*`, `?` and `[…]`; [`Select::regex`]; [`Select::all`] for every layer with a weight matrix. A
    /// layer that is an adapter already gets another one around it.
    ///
    /// `settings`: [`crate::LoKrSettings`], or [`AdaptSettings`] with ranks and alphas by name. Each layer has a seed
    /// of its own, made of that of the settings and its place.
    ///
    /// # Errors
    /// [`LayerError::NoSuchLayer`] for a target that names no layer, or where none of those meant can be adapted;
    /// [`LayerError::Pattern`]; [`LayerError::NotFreezable`]; those of [`crate::LoKrBuilder::build`]. The network is as
    /// it was then.
    /// # Examples
    /// ```
    /// use lokr_layers::{Activation, AdaptSettings, Dense, Init, Layer, LoKrSettings, Sequential};
    /// use lokr_layers::rand::{SeedableRng, rngs::SmallRng};
    ///
    /// let rng = &mut SmallRng::seed_from_u64(1);
    /// let mut network = Sequential::<f32>::empty();
    /// for name in ["blocks.0.q", "blocks.0.v", "blocks.1.q"] {
    ///     network.push_named(name, Dense::new(64, 64, Activation::Silu, Init::HeNormal, rng)?)?;
    /// }
    /// network.push_named("head", Dense::new(64, 10, Activation::Softmax, Init::XavierNormal, rng)?)?;
    ///
    /// let settings = AdaptSettings::from(LoKrSettings::new().rank(2)).rank_pattern("1.q", 1).train_whole("head");
    /// let report = network.adapt(["q"], settings)?;
    /// assert_eq!(report.adapted.iter().map(|layer| (&*layer.name, layer.rank)).collect::<Vec<_>>(),
    ///     [("blocks.0.q", 2), ("blocks.1.q", 1)]);
    /// assert_eq!((report.trained_whole, report.frozen), (vec!["head".to_owned()], vec!["blocks.0.v".to_owned()]));
    /// assert_eq!(network.parameter_count(), report.trainable);
    /// # Ok::<(), lokr_layers::LayerError>(())
    /// ```
    pub fn adapt(&mut self, targets: impl Into<Select>, settings: impl Into<AdaptSettings<T>>) -> Result<AdaptReport> {
        let (targets, settings): (Select, AdaptSettings<T>) = (targets.into(), settings.into());
        let names = leaf_names(self);
        let fates = self.fates(&names, &targets, &settings)?;
        // All that can fail comes first: what is put on the layers, and what is frozen.
        let mut prepared = Vec::new();
        for (((name, layer), fate), settings) in leaves(self).into_iter().zip(&fates).zip(settings.of(&names)?) {
            if *fate == Fate::Adapted {
                let prepared_layer = Prepared::new(layer, &settings)?;
                prepared.push((AdaptedLayer::new(name, layer, &prepared_layer), prepared_layer));
            }
        }
        if settings.freeze_rest {
            let rest = leaves_mut(self).into_iter().zip(&fates);
            let rest = rest.filter(|(_, fate)| matches!(fate, Fate::Rest | Fate::PassedOver));
            set_all_frozen(rest.map(|((_, layer), _)| layer), true)?;
        }
        let adapted_leaves = leaves_mut(self).into_iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Adapted);
        let mut adapted = Vec::new();
        for (((_, layer), _), (said, prepared)) in adapted_leaves.zip(prepared) {
            let base = std::mem::replace(layer, Box::new(Self::empty()));
            *layer = Box::new(prepared.put_on(base));
            adapted.push(said);
        }
        let named = |wanted: &[Fate]| {
            let found = names.iter().zip(&fates).filter(|(_, fate)| wanted.contains(fate));
            found.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        Ok(AdaptReport {
            adapted,
            trained_whole: named(&[Fate::TrainedWhole]),
            frozen: if settings.freeze_rest { named(&[Fate::Rest, Fate::PassedOver]) } else { Vec::new() },
            passed_over: named(&[Fate::PassedOver]),
            trainable: self.parameter_count(),
            total: leaves(self).into_iter().map(|(_, layer)| value_count(layer)).sum(),
        })
    }

    fn fates(&self, names: &[String], targets: &Select, settings: &AdaptSettings<T>) -> Result<Vec<Fate>> {
        let (meant, whole) = (targets.of(names)?, settings.train_whole.of(names)?);
        let fate = |((_, layer), (meant, whole)): ((String, &dyn Layer<T>), (bool, bool))| match (meant, whole) {
            (_, true) => Fate::TrainedWhole,
            (true, false) if layer.as_linear().is_some() => Fate::Adapted,
            (true, false) => Fate::PassedOver,
            (false, false) => Fate::Rest,
        };
        let fates: Vec<_> = leaves(self).into_iter().zip(meant.into_iter().zip(whole)).map(fate).collect();
        if fates.contains(&Fate::Adapted) {
            Ok(fates)
        } else {
            let wanted = "a layer with a weight matrix among the targets".to_owned();
            Err(LayerError::NoSuchLayer { wanted, layers: names.to_vec() })
        }
    }
}

/// The values of a layer, frozen ones too.
fn value_count<T: Scalar>(layer: &dyn Layer<T>) -> usize {
    let mut count = 0;
    layer.visit_values(&mut |_, values| count += values.len());
    count
}

impl AdaptedLayer {
    fn new<T: Scalar>(name: String, layer: &dyn Layer<T>, prepared: &Prepared<T>) -> Self {
        let update = prepared.update();
        Self {
            name,
            layer: layer.type_name(),
            rank: update.rank(),
            scaling: update.scaling().to_f64_exact(),
            factors: (update.delta().a().dim(), update.delta().b().dim()),
            parameters: update.parameter_count(),
        }
    }
}
