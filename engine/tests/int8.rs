//! Every integer kernel gives the bits of the plain loops, on random shapes, at every level that the machine runs.

use engine::runtime::cpu::int8::conv::Layer;
use engine::runtime::cpu::int8::{
    Add, Conv, Depthwise, Finish, GlobalAverage, Level, Parameters, Quantise, Requantise, reference,
};
use engine::runtime::plan::{Geometry, SLACK};
use std::cell::Cell;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Random layers of each kind; in Miri, which takes a second for what takes a microsecond, few.
const ROUNDS: usize = if cfg!(miri) { 3 } else { 60 };

/// A seeded sequence (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    fn size(&mut self, low: usize, high: usize) -> usize {
        self.between(low as i64, high as i64) as usize
    }

    /// Mostly extremes: they are where products overflow.
    fn weight(&mut self) -> i8 {
        match self.next() % 4 {
            0 => 127,
            1 => -127,
            _ => self.between(-127, 127) as i8,
        }
    }

    fn byte(&mut self, high: u8) -> u8 {
        match self.next() % 4 {
            0 => high,
            1 => 0,
            _ => self.between(0, i64::from(high)) as u8,
        }
    }

    fn parameters(&mut self, high: u8) -> Parameters {
        let scale = self.between(1, 1000) as f32 / 7919.0;
        Parameters { scale, zero_point: self.between(0, i64::from(high)) as i32, low: 0, high }
    }

    /// A map of `elements` with the slack behind it, which holds rubbish.
    fn map(&mut self, elements: usize, high: u8) -> Vec<u8> {
        (0..elements + SLACK)
            .map(|i| if i < elements { self.byte(high) } else { self.next() as u8 })
            .collect()
    }
}

/// A layer and what it reads.
struct Case {
    weight: Vec<i8>,
    bias: Vec<i32>,
    channels: usize,
    geometry: Geometry,
    x: Parameters,
    map: Vec<u8>,
    requantise: Requantise,
}

impl Case {
    fn new(random: &mut Random, [channels, cout]: [usize; 2], is_depthwise: bool, high: u8) -> Self {
        let (kernel, strides) =
            ([random.size(1, 5), random.size(1, 5)], [random.size(1, 2), random.size(1, 3)]);
        let pads = [random.size(0, kernel[0] - 1), random.size(0, kernel[1] - 1)];
        let input = [0, 1].map(|axis| random.size(kernel[axis], 12));
        // Windows that end anywhere up to a kernel behind the map.
        let output = [0, 1].map(|axis| {
            let behind = random.size(0, kernel[axis] - 1);
            (input[axis] + pads[axis] + behind - kernel[axis]) / strides[axis] + 1
        });
        let geometry = match random.next() % 3 {
            0 if !is_depthwise => Geometry::pointwise(input),
            _ => Geometry { input, output, kernel, strides, dilations: [1, 1], pads },
        };
        let cin = if is_depthwise { 1 } else { channels };
        let taps = geometry.kernel[0] * geometry.kernel[1] * cin;
        let x = random.parameters(high);
        // Factors that send most sums into the range, and some beyond it.
        let spread = (taps as f32).sqrt() * 5000.0;
        let multipliers = (0..cout).map(|_| random.between(1, 300) as f32 / spread).collect();
        let mut parameters = random.parameters(127);
        parameters.low = random.between(0, 20) as u8;
        parameters.high = random.between(100, 127) as u8;
        Case {
            weight: (0..taps * cout).map(|_| random.weight()).collect(),
            bias: (0..cout).map(|_| random.between(-100_000, 100_000) as i32).collect(),
            channels,
            geometry,
            x,
            map: random.map(geometry.input[0] * geometry.input[1] * channels, high),
            requantise: Requantise { multipliers, parameters },
        }
    }

    fn layer(&self) -> Layer<'_> {
        Layer {
            weight: &self.weight,
            bias: &self.bias,
            channels: self.channels,
            geometry: self.geometry,
            x: self.x,
        }
    }

    fn describe(&self, level: Level) -> String {
        format!("{}: {} to {} channels, {:?}", level.name(), self.channels, self.bias.len(), self.geometry)
    }
}

#[test]
fn dense_convolutions_equal_the_reference() {
    let mut random = Random(1);
    for round in 0..ROUNDS {
        let high = if round % 3 == 0 { 255 } else { 127 };
        let sizes = [random.size(1, 40), random.size(1, 70)];
        let case = Case::new(&mut random, sizes, false, high);
        let sums = reference::conv_sums(&case.layer(), 1, &case.map);
        let wanted = reference::requantised(&sums, &case.requantise);
        let (other, total) = (random.parameters(127), random.parameters(127));
        let added = random.map(sums.len(), 127);
        let pair = [case.requantise.parameters, other];
        let wanted_sum = reference::added(&wanted, &added[..sums.len()], pair, total);
        for level in Level::available() {
            let what = case.describe(level);
            let mut out = vec![0; sums.len()];
            let conv = |finish| Conv::new(&case.layer(), finish, level);
            conv(Finish::Bytes(case.requantise.clone())).run(&case.map, None, &mut out, &mut Vec::new());
            assert_eq!(out, wanted, "{what}");
            let finish = Finish::Added(case.requantise.clone(), Add::new(pair, total));
            conv(finish).run(&case.map, Some(&added), &mut out, &mut vec![9; 77]);
            assert_eq!(out, wanted_sum, "with a sum, {what}");
            let factors = case.requantise.multipliers.clone();
            let mut floats = vec![0.0; sums.len()];
            conv(Finish::Floats(factors.clone())).run_to_floats(&case.map, &mut floats, &mut Vec::new());
            let exact = |(i, &sum): (usize, &i32)| sum as f32 * factors[i % factors.len()];
            assert_eq!(floats, sums.iter().enumerate().map(exact).collect::<Vec<_>>(), "in floats, {what}");
        }
    }
}

#[test]
fn depthwise_convolutions_equal_the_reference() {
    let mut random = Random(2);
    for round in 0..ROUNDS {
        let high = if round % 3 == 0 { 255 } else { 127 };
        let channels = random.size(1, 80);
        let case = Case::new(&mut random, [channels, channels], true, high);
        let sums = reference::conv_sums(&case.layer(), channels, &case.map);
        let wanted = reference::requantised(&sums, &case.requantise);
        let (other, total) = (random.parameters(127), random.parameters(127));
        let added = random.map(sums.len(), 127);
        let pair = [case.requantise.parameters, other];
        let wanted_sum = reference::added(&wanted, &added[..sums.len()], pair, total);
        for level in Level::available() {
            let what = case.describe(level);
            let mut out = vec![0; sums.len()];
            let conv = |finish| Depthwise::new(&case.layer(), finish, level);
            conv(Finish::Bytes(case.requantise.clone())).run(&case.map, None, &mut out, &mut Vec::new());
            assert_eq!(out, wanted, "{what}");
            let finish = Finish::Added(case.requantise.clone(), Add::new(pair, total));
            conv(finish).run(&case.map, Some(&added), &mut out, &mut Vec::new());
            assert_eq!(out, wanted_sum, "with a sum, {what}");
        }
    }
}

#[cfg_attr(miri, ignore = "too many multiplications")]
#[test]
fn wide_maps_are_done_in_strips() {
    let mut random = Random(5);
    let geometry = |width: usize, stride: usize| Geometry {
        input: [4, width],
        output: [4, width].map(|extent| extent.div_ceil(stride)),
        kernel: [3, 3],
        strides: [stride; 2],
        dilations: [1, 1],
        pads: [1, 1],
    };
    // Windows of 27 bytes, which are put together, and rows of depthwise taps; both for many strips.
    for (channels, cout, is_depthwise, geometry) in [
        (3, 9, false, geometry(3001, 2)),
        (70, 70, true, geometry(701, 1)),
        (3, 3, true, geometry(20_011, 2)),
    ] {
        let mut case = Case::new(&mut random, [channels, cout], is_depthwise, 127);
        case.geometry = geometry;
        let cin = if is_depthwise { 1 } else { channels };
        case.weight = (0..9 * cin * cout).map(|_| random.weight()).collect();
        case.map = random.map(geometry.input[0] * geometry.input[1] * channels, 127);
        let sums = reference::conv_sums(&case.layer(), if is_depthwise { channels } else { 1 }, &case.map);
        let wanted = reference::requantised(&sums, &case.requantise);
        for level in Level::available() {
            let (layer, finish) = (case.layer(), Finish::Bytes(case.requantise.clone()));
            let mut out = vec![0; sums.len()];
            if is_depthwise {
                Depthwise::new(&layer, finish, level).run(&case.map, None, &mut out, &mut Vec::new());
            } else {
                Conv::new(&layer, finish, level).run(&case.map, None, &mut out, &mut Vec::new());
            }
            assert!(out == wanted, "{}", case.describe(level));
        }
    }
}

#[test]
fn the_clock_chooses_where_only_it_can_tell() {
    for taken in [[2.0, 10.0], [10.0, 2.0]] {
        // Looked at before and behind a stretch of each rival in turn.
        let (calls, time) = (Cell::new(0), Cell::new(0.0));
        let clock = || {
            let call = calls.replace(calls.get() + 1);
            if call % 2 == 1 {
                time.set(time.get() + taken[call / 2 % 2]);
            }
            time.get()
        };
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        let wanted = if taken[0] < taken[1] { Level::RelaxedPairs } else { Level::RelaxedDot };
        #[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
        let wanted = Level::best();
        assert_eq!(Level::fastest(&clock), wanted);
    }
    for clock in [0.0, f64::NAN] {
        assert_eq!(Level::fastest(&|| clock), Level::best(), "a clock that always says {clock}");
    }
}

#[test]
fn sums_of_maps_equal_the_reference() {
    let mut random = Random(3);
    for length in [1, 7, 64, 1000] {
        let [a, b, sum] = [0; 3].map(|_| random.parameters(127));
        let (x, y) = (random.map(length, 127), random.map(length, 127));
        let mut out = vec![0; length];
        Add::new([a, b], sum).run(&x, &y, &mut out);
        assert_eq!(out, reference::added(&x[..length], &y[..length], [a, b], sum));
    }
}

#[test]
fn means_of_maps_are_rounded_once() {
    let mut random = Random(4);
    for (pixels, channels) in [(1, 1), (4, 3), (49, 20), (64, 33)] {
        let (x, y) = (random.parameters(127), random.parameters(127));
        let map = random.map(pixels * channels, 127);
        let mut out = vec![0; channels];
        GlobalAverage::new(pixels, channels, x, y).run(&map, &mut out);
        for (channel, &byte) in out.iter().enumerate() {
            let sum: i32 = (0..pixels).map(|i| i32::from(map[i * channels + channel]) - x.zero_point).sum();
            let factor = x.scale / (y.scale * pixels as f32);
            let rounded = (sum as f32 * factor).round_ties_even() as i32 + y.zero_point;
            assert_eq!(i32::from(byte), rounded.clamp(0, 127), "channel {channel} of {pixels} x {channels}");
        }
    }
}

#[test]
fn floats_are_quantised_to_the_nearest_even_byte_in_either_order() {
    let parameters = Parameters { scale: 0.5, zero_point: 10, low: 0, high: 127 };
    let x = [-100.0, -0.25, 0.25, 0.75, 1.24, 1e9, f32::NAN, f32::INFINITY, 3.0, 0.0, 1.0, 2.0];
    let wanted = [0, 10, 10, 12, 12, 127, 0, 127, 16, 10, 12, 14];
    let mut out = [0; 12];
    Quantise { parameters, channels: 1, pixels: 12 }.run(&x, &mut out);
    assert_eq!(out, wanted);
    assert_eq!(x.map(|x| parameters.quantised(x)), wanted);
    Quantise { parameters, channels: 3, pixels: 4 }.run(&x, &mut out);
    let turned: Vec<u8> = (0..12).map(|i| wanted[i % 3 * 4 + i / 3]).collect();
    assert_eq!(out[..], turned);
}
