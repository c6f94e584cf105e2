//! What each layer loses in integers, and what follows: four bits where they are harmless, floats where bytes are not.

use super::observer::Observer;
use super::student::{Student, StudentConfig};
use crate::export::WeightBits;
use crate::models::Model;
use anyhow::{Result, ensure};
use candle_core::Tensor;
use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Limits of a [`Strategy`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StrategyConfig {
    /// Share of the FP32 file's bytes that the INT8 file is to save.
    pub size_reduction: f64,
    /// Largest error of the logit, in its own deviations, that one layer may cause in eight bits; a layer above it stays
    /// in floats.
    pub max_error_in_eight_bits: f64,
    /// Largest error that one layer may cause in four bits.
    pub max_error_in_four_bits: f64,
}

impl Default for StrategyConfig {
    fn default() -> Self {
        StrategyConfig { size_reduction: 0.765, max_error_in_eight_bits: 0.25, max_error_in_four_bits: 0.5 }
    }
}

/// What one layer alone does to the logit, as the root of the mean squared error over the logit's deviation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSensitivity {
    /// The layer's name.
    pub layer: String,
    /// Number of its weights.
    pub weights: usize,
    /// Error with weights of four bits.
    pub four_bits: f64,
    /// Error with weights of eight bits.
    pub eight_bits: f64,
    /// Error with its input in bytes; 0 where the layer reads no bytes.
    pub input: f64,
    /// What was chosen.
    pub chosen: WeightBits,
}

/// Bits of each layer's weights, and what led to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// In the order of the layers' names.
    pub layers: Vec<LayerSensitivity>,
    /// Bytes of the FP32 file.
    pub float_bytes: usize,
    /// Bytes of the INT8 file, as far as known before learning.
    pub integer_bytes: usize,
}

impl Strategy {
    /// Bits by layer.
    pub fn bits(&self) -> BTreeMap<String, WeightBits> {
        self.layers.iter().map(|layer| (layer.layer.clone(), layer.chosen)).collect()
    }

    /// Layers of four bits and layers in floats, for people.
    pub fn summary(&self) -> String {
        let names = |bits| -> Vec<&str> {
            self.layers
                .iter()
                .filter(|layer| layer.chosen == bits)
                .map(|layer| layer.layer.as_str())
                .collect()
        };
        let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let saved = 100.0 * (1.0 - self.integer_bytes as f64 / self.float_bytes as f64);
        format!(
            "four bits: {}\nin floats: {}\nsize: {} -> {} bytes, {saved:.1} % less",
            list(names(WeightBits::Four)),
            list(names(WeightBits::Float)),
            self.float_bytes,
            self.integer_bytes
        )
    }

    /// A table, the layer with the largest error in four bits first.
    pub fn text(&self) -> String {
        let mut rows: Vec<&LayerSensitivity> = self.layers.iter().collect();
        rows.sort_by(|a, b| b.four_bits.total_cmp(&a.four_bits));
        let mut text = format!("{:>9} {:>9} {:>9} {:>9}  layer\n", "weights", "4 bits", "8 bits", "input");
        for row in rows {
            let chosen = match row.chosen {
                WeightBits::Four => "  (four bits)",
                WeightBits::Float => "  (floats)",
                WeightBits::Eight => "",
            };
            text += &format!(
                "{:9} {:9.4} {:9.4} {:9.4}  {}{chosen}\n",
                row.weights, row.four_bits, row.eight_bits, row.input, row.layer
            );
        }
        text
    }
}

/// Measures each layer of `teacher` alone on `pictures` `[N, 3, S, S]` and chooses bits: floats above the limits; then
/// four bits, the layer with the least error a saved byte first, until the file is small enough. `step` is called for
/// every measured layer.
///
/// # Errors
/// If there are too few pictures, or their logits are all the same, so that there is no measure.
pub fn choose_strategy(
    teacher: &Model,
    config: StudentConfig,
    limits: StrategyConfig,
    observers: &BTreeMap<String, Observer>,
    pictures: &Tensor,
    step: &dyn Fn(),
) -> Result<Strategy> {
    let whole = Student::new(teacher, config, &BTreeMap::new(), observers)?;
    let scale = Measure::of(&whole, pictures)?;
    let inputs = whole.layer_inputs()?;
    let mut point_errors: BTreeMap<&str, f64> = BTreeMap::new();
    let mut layers = Vec::new();
    for layer in whole.bits().into_keys() {
        step();
        let of_weights = |bits| scale.error(&whole.forward_with_weights_of(&layer, bits, pictures)?);
        let input = match inputs.get(&layer) {
            Some(point) => {
                if !point_errors.contains_key(point.as_str()) {
                    let error = scale.error(&whole.forward_with_point(point, pictures)?)?;
                    point_errors.insert(point, error);
                }
                point_errors[point.as_str()]
            }
            None => 0.0,
        };
        let (four_bits, eight_bits) = (of_weights(WeightBits::Four)?, of_weights(WeightBits::Eight)?);
        let is_too_coarse = eight_bits.max(input) > limits.max_error_in_eight_bits;
        let chosen = if is_too_coarse { WeightBits::Float } else { WeightBits::Eight };
        let weights = whole.weight_count(&layer);
        layers.push(LayerSensitivity { layer, weights, four_bits, eight_bits, input, chosen });
    }
    let float_bytes = whole.float_file(Vec::new())?.encoded_len();
    let mut strategy = Strategy { layers, float_bytes, integer_bytes: 0 };
    let eight = Student::new(teacher, config, &strategy.bits(), observers)?;
    strategy.integer_bytes = eight.integer_file(config.activation_bits, Vec::new())?.encoded_len();
    strategy.take_four_bits(limits);
    Ok(strategy)
}

impl Strategy {
    /// Gives four bits to the layers with the least error a saved byte, until the file is small enough.
    fn take_four_bits(&mut self, limits: StrategyConfig) {
        let wanted = (self.float_bytes as f64 * (1.0 - limits.size_reduction)) as usize;
        let mut order: Vec<usize> = (0..self.layers.len()).collect();
        let cost = |layer: &LayerSensitivity| layer.four_bits.powi(2) / layer.weights.max(1) as f64;
        order.sort_by(|&a, &b| cost(&self.layers[a]).total_cmp(&cost(&self.layers[b])));
        for index in order {
            if self.integer_bytes <= wanted {
                break;
            }
            let layer = &mut self.layers[index];
            let is_harmless = layer.four_bits <= limits.max_error_in_four_bits;
            if layer.chosen == WeightBits::Eight && is_harmless {
                layer.chosen = WeightBits::Four;
                self.integer_bytes -= layer.weights / 2;
            }
        }
        self.give_back(wanted);
    }

    /// Gives eight bits back, to the layer with the largest error first, as long as the file stays small enough: a large
    /// layer that was taken late makes small ones needless.
    fn give_back(&mut self, wanted: usize) {
        let mut order: Vec<usize> = (0..self.layers.len()).collect();
        order.sort_by(|&a, &b| self.layers[b].four_bits.total_cmp(&self.layers[a].four_bits));
        for index in order {
            let layer = &mut self.layers[index];
            let without = self.integer_bytes + layer.weights / 2;
            if layer.chosen == WeightBits::Four && without <= wanted {
                layer.chosen = WeightBits::Eight;
                self.integer_bytes = without;
            }
        }
    }
}

/// Logits in floats, and how far apart they are.
struct Measure {
    logits: Vec<f32>,
    deviation: f64,
}

impl Measure {
    fn of(student: &Student, pictures: &Tensor) -> Result<Self> {
        let logits: Vec<f32> = student.forward_in_floats(pictures)?.to_vec1()?;
        ensure!(logits.len() > 1, "a measure of sensitivity needs at least two pictures");
        let mean = logits.iter().map(|&logit| f64::from(logit)).sum::<f64>() / logits.len() as f64;
        let square = |&logit: &f32| (f64::from(logit) - mean).powi(2);
        let deviation = (logits.iter().map(square).sum::<f64>() / logits.len() as f64).sqrt();
        ensure!(
            deviation > 0.0,
            "the teacher says the same of every picture, {mean}: it has learned nothing"
        );
        Ok(Measure { logits, deviation })
    }

    fn error(&self, logits: &Tensor) -> Result<f64> {
        let logits: Vec<f32> = logits.to_vec1()?;
        let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
        let sum: f64 = logits.iter().zip(&self.logits).map(square).sum();
        Ok((sum / logits.len() as f64).sqrt() / self.deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, weights: usize, four_bits: f64, chosen: WeightBits) -> LayerSensitivity {
        LayerSensitivity { layer: name.into(), weights, four_bits, eight_bits: 0.0, input: 0.0, chosen }
    }

    #[test]
    fn four_bits_go_where_they_cost_least_until_the_file_is_small_enough() {
        let layers = vec![
            layer("head", 1000, 0.1, WeightBits::Eight),
            layer("middle", 1000, 0.2, WeightBits::Eight),
            layer("first", 1000, 0.9, WeightBits::Eight),
            layer("kept", 1000, 0.0, WeightBits::Float),
        ];
        let chosen = |size_reduction: f64| {
            let mut strategy = Strategy { layers: layers.clone(), float_bytes: 16_000, integer_bytes: 7_100 };
            strategy.take_four_bits(StrategyConfig { size_reduction, ..StrategyConfig::default() });
            let four = strategy.layers.iter().filter(|layer| layer.chosen == WeightBits::Four).count();
            (four, strategy.integer_bytes)
        };
        assert_eq!(chosen(0.5), (0, 7_100));
        assert_eq!(chosen(0.58), (1, 6_600));
        // The first layer would lose too much, so the file stays larger than wanted.
        assert_eq!(chosen(0.9), (2, 6_100));
    }

    #[test]
    fn small_layers_get_their_bits_back_where_a_large_one_is_enough() {
        let layers =
            vec![layer("small", 100, 0.001, WeightBits::Eight), layer("large", 4000, 0.1, WeightBits::Eight)];
        let mut strategy = Strategy { layers, float_bytes: 16_400, integer_bytes: 4_600 };
        strategy.take_four_bits(StrategyConfig { size_reduction: 0.84, ..StrategyConfig::default() });
        let bits: Vec<WeightBits> = strategy.layers.iter().map(|layer| layer.chosen).collect();
        assert_eq!((bits, strategy.integer_bytes), (vec![WeightBits::Eight, WeightBits::Four], 2_600));
    }
}
