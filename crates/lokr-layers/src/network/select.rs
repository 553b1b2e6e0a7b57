//! Which layers of a network are meant.

use super::pattern::NamePattern;
use crate::error::{LayerError, Result};

/// Layers of a network, by their names.
///
/// A text or a list of texts makes one: a text with `*`, `?` or `[` is a form ([`NamePattern::glob`]), any other a name
/// ([`NamePattern::name`]: the whole one, or the end of one behind a dot).
///
/// # Examples
/// ```
/// use lokr_layers::Select;
///
/// assert!(Select::from("blocks.*.q").meant("blocks.3.q")?);
/// assert!(Select::from(["q", "v"]).except("blocks.0.*").meant("blocks.1.v")?);
/// assert!(!Select::from(["q", "v"]).except("blocks.0.*").meant("blocks.0.v")?);
/// assert!(Select::regex(r"blocks\.\d+\.q").meant("blocks.11.q")?);
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Select {
    /// `None`: all.
    wanted: Option<Vec<Item>>,
    #[cfg_attr(feature = "serde", serde(default))]
    except: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
struct Item {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
enum Rule {
    Name,
    Glob,
    Regex,
}

impl Item {
    fn guess(text: impl Into<String>) -> Self {
        let text = text.into();
        let rule = if text.contains(['*', '?', '[']) { Rule::Glob } else { Rule::Name };
        Self { text, rule }
    }

    fn compile(&self) -> Result<NamePattern> {
        match self.rule {
            Rule::Name => Ok(NamePattern::name(&self.text)),
            Rule::Glob => NamePattern::glob(&self.text),
            Rule::Regex => NamePattern::regex(&self.text),
        }
    }
}

impl Select {
    /// Every layer; where adapters are put on, every layer with a weight matrix.
    #[must_use]
    pub fn all() -> Self {
        Self { wanted: None, except: Vec::new() }
    }

    /// No layer.
    #[must_use]
    pub fn none() -> Self {
        Self { wanted: Some(Vec::new()), except: Vec::new() }
    }

    /// The layers whose whole names a regular expression matches.
    #[must_use]
    pub fn regex(pattern: impl Into<String>) -> Self {
        Self { wanted: Some(vec![Item { text: pattern.into(), rule: Rule::Regex }]), except: Vec::new() }
    }

    /// The same layers without those of `others`.
    #[must_use]
    pub fn except(mut self, others: impl Into<Self>) -> Self {
        let others: Self = others.into();
        match others.wanted {
            Some(items) => self.except.extend(items),
            None => self.except.push(Item::guess("*")),
        }
        self
    }

    /// Whether a layer of this name is meant.
    ///
    /// # Errors
    /// [`LayerError::Pattern`].
    pub fn meant(&self, name: &str) -> Result<bool> {
        let any = |items: &[Item]| -> Result<bool> {
            items.iter().try_fold(false, |found, item| Ok(found | item.compile()?.is_match(name)))
        };
        Ok(self.wanted.as_deref().map_or(Ok(true), any)? && !any(&self.except)?)
    }

    /// For each of `names` whether it is meant.
    ///
    /// # Errors
    /// [`LayerError::Pattern`]; [`LayerError::NoSuchLayer`] for a wanted name or pattern that none of them follows.
    pub(super) fn of(&self, names: &[String]) -> Result<Vec<bool>> {
        let mut meant = vec![self.wanted.is_none(); names.len()];
        for item in self.wanted.iter().flatten() {
            let (pattern, mut found) = (item.compile()?, false);
            for (meant, name) in meant.iter_mut().zip(names) {
                let matches = pattern.is_match(name);
                *meant |= matches;
                found |= matches;
            }
            if !found {
                return Err(LayerError::NoSuchLayer { wanted: item.text.clone(), layers: names.to_vec() });
            }
        }
        for item in &self.except {
            let pattern = item.compile()?;
            meant.iter_mut().zip(names).for_each(|(meant, name)| *meant &= !pattern.is_match(name));
        }
        Ok(meant)
    }
}

impl From<&str> for Select {
    fn from(text: &str) -> Self {
        Self::from(vec![text])
    }
}

impl From<String> for Select {
    fn from(text: String) -> Self {
        Self::from(vec![text])
    }
}

impl<S: Into<String>> From<Vec<S>> for Select {
    fn from(texts: Vec<S>) -> Self {
        Self { wanted: Some(texts.into_iter().map(Item::guess).collect()), except: Vec::new() }
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for Select {
    fn from(texts: [S; N]) -> Self {
        Self { wanted: Some(texts.into_iter().map(Item::guess).collect()), except: Vec::new() }
    }
}
