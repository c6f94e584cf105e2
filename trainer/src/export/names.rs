//! What values of a graph are called: the same for whoever writes the graph and whoever learns its scales.

use std::collections::HashMap;

/// Names that were given, so that none is given twice: layers may be walked more than once.
#[derive(Debug, Clone, Default)]
pub struct Names {
    uses: HashMap<String, usize>,
}

impl Names {
    /// `name`, with ".2" behind it the second time, and so on.
    pub fn next(&mut self, name: String) -> String {
        let uses = self.uses.entry(name.clone()).or_default();
        *uses += 1;
        if *uses > 1 { format!("{name}.{uses}") } else { name }
    }
}

/// The result of the ReLU behind the layer called `layer`.
pub fn relu(layer: &str) -> String {
    format!("{layer}.relu")
}

/// The result of the ReLU6 behind the layer called `layer`.
pub fn relu6(layer: &str) -> String {
    format!("{layer}.relu6")
}

/// The sum whose first summand is called `first`.
pub fn sum(first: &str) -> String {
    format!("{first}.add")
}

/// `sigmoid(x)` of the value called `x`.
pub fn sigmoid(x: &str) -> String {
    format!("{x}.sigmoid")
}

/// `x * sigmoid(x)` of the value called `x`.
pub fn silu(x: &str) -> String {
    format!("{x}.silu")
}

/// The maps called `x`, each times a factor.
pub fn gate(x: &str) -> String {
    format!("{x}.gate")
}

/// The mean of the maps called `x`.
pub fn mean(x: &str) -> String {
    format!("{x}.mean")
}

/// The map that the attention called `layer` gives.
pub fn attention(layer: &str) -> String {
    format!("{layer}.map")
}

/// Maps behind each other.
pub fn concatenation() -> String {
    "concat".into()
}

/// The constant weight of the layer called `layer`.
pub fn weight(layer: &str) -> String {
    format!("{layer}.weight")
}

/// The constant bias of the layer called `layer`.
pub fn bias(layer: &str) -> String {
    format!("{layer}.bias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let mut names = Names::default();
        let given = ["a", "b", "a", "a"].map(|name| names.next(name.into()));
        assert_eq!(given, ["a", "b", "a.2", "a.3"]);
    }
}
