//! The WGSL files, one a kernel, and what stands before each.

/// How integer layers multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Products {
    /// By the packed dot product of four bytes.
    Dot,
    /// In 32-bit floats, which are exact as long as sums stay below 2^24.
    F32,
}

/// A kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shader {
    /// Quantised dense convolution.
    ConvInt8(Products),
    /// Quantised depthwise convolution.
    DepthwiseInt8,
    /// Sum of two quantised maps.
    AddInt8,
    /// Mean of each channel of quantised maps.
    GlobalAveragePoolInt8,
    /// Any function of a byte.
    Lookup,
    /// Elements on a walk.
    Gather,
    /// Bytes on a walk.
    GatherInt8,
    /// Words onto a walk.
    Scatter,
    /// The same word everywhere.
    Fill,
    /// A map of another size.
    Resize,
    /// Dense convolution in floats.
    Conv,
    /// Depthwise convolution in floats.
    Depthwise,
    /// Transposed convolution in floats.
    ConvTranspose,
    /// Products of variable matrices.
    MatMul,
    /// Sum of two arrays, clamped.
    Add,
    /// A function of two elements.
    Binary,
    /// A function of each element.
    Unary,
    /// Pooling of floats.
    Pool,
    /// Largest bytes.
    PoolInt8,
    /// Means.
    Mean,
    /// Softmax.
    Softmax,
    /// Layer norm.
    LayerNorm,
    /// Nothing but products, to see how many a device makes.
    Peak(Products),
    /// Floats to bytes.
    Quantise,
    /// Bytes to floats.
    Dequantise,
}

/// Threads of a workgroup of every kernel: `@workgroup_size(64)`.
pub const WORKGROUP: u32 = 64;

impl Shader {
    /// What it is called in tables: that of the CPU's kernel.
    pub fn name(self) -> &'static str {
        match self {
            Shader::ConvInt8(_) => "conv int8",
            Shader::DepthwiseInt8 => "depthwise int8",
            Shader::AddInt8 => "add int8",
            Shader::GlobalAveragePoolInt8 => "global average pool int8",
            Shader::Lookup => "lookup int8",
            Shader::Gather => "gather",
            Shader::GatherInt8 => "gather int8",
            Shader::Scatter => "scatter",
            Shader::Fill => "fill",
            Shader::Resize => "resize",
            Shader::Conv => "conv",
            Shader::Depthwise => "depthwise",
            Shader::ConvTranspose => "conv transpose",
            Shader::MatMul => "matmul",
            Shader::Add => "add",
            Shader::Binary => "binary",
            Shader::Unary => "unary",
            Shader::Pool => "pool",
            Shader::PoolInt8 => "pool int8",
            Shader::Mean => "mean",
            Shader::Softmax => "softmax",
            Shader::LayerNorm => "layer norm",
            Shader::Peak(_) => "peak",
            Shader::Quantise => "quantise",
            Shader::Dequantise => "dequantise",
        }
    }

    /// Its WGSL.
    pub fn source(self) -> String {
        const BYTES: &str = include_str!("shaders/bytes.wgsl");
        const FLOATS: &str = include_str!("shaders/floats.wgsl");
        const DOT: &str = include_str!("shaders/products_dot.wgsl");
        const F32: &str = include_str!("shaders/products_f32.wgsl");
        let files: &[&str] = match self {
            Shader::ConvInt8(Products::Dot) => &[BYTES, DOT, include_str!("shaders/conv_int8.wgsl")],
            Shader::ConvInt8(Products::F32) => &[BYTES, F32, include_str!("shaders/conv_int8.wgsl")],
            Shader::DepthwiseInt8 => &[BYTES, include_str!("shaders/depthwise_int8.wgsl")],
            Shader::AddInt8 => &[BYTES, include_str!("shaders/add_int8.wgsl")],
            Shader::GlobalAveragePoolInt8 => &[BYTES, include_str!("shaders/global_average_pool_int8.wgsl")],
            Shader::Lookup => &[BYTES, include_str!("shaders/lookup.wgsl")],
            Shader::Gather => &[include_str!("shaders/gather.wgsl")],
            Shader::GatherInt8 => &[include_str!("shaders/gather_int8.wgsl")],
            Shader::Scatter => &[include_str!("shaders/scatter.wgsl")],
            Shader::Fill => &[include_str!("shaders/fill.wgsl")],
            Shader::Resize => &[include_str!("shaders/resize.wgsl")],
            Shader::Conv => &[FLOATS, include_str!("shaders/conv.wgsl")],
            Shader::Depthwise => &[FLOATS, include_str!("shaders/depthwise.wgsl")],
            Shader::ConvTranspose => &[FLOATS, include_str!("shaders/conv_transpose.wgsl")],
            Shader::MatMul => &[include_str!("shaders/matmul.wgsl")],
            Shader::Add => &[FLOATS, include_str!("shaders/add.wgsl")],
            Shader::Binary => &[include_str!("shaders/binary.wgsl")],
            Shader::Unary => &[FLOATS, include_str!("shaders/unary.wgsl")],
            Shader::Pool => &[include_str!("shaders/pool.wgsl")],
            Shader::PoolInt8 => &[BYTES, include_str!("shaders/pool_int8.wgsl")],
            Shader::Mean => &[include_str!("shaders/mean.wgsl")],
            Shader::Softmax => &[FLOATS, include_str!("shaders/softmax.wgsl")],
            Shader::LayerNorm => &[include_str!("shaders/layer_norm.wgsl")],
            Shader::Peak(Products::Dot) => &[BYTES, DOT, include_str!("shaders/peak.wgsl")],
            Shader::Peak(Products::F32) => &[BYTES, F32, include_str!("shaders/peak.wgsl")],
            Shader::Quantise => &[BYTES, include_str!("shaders/quantise.wgsl")],
            Shader::Dequantise => &[BYTES, include_str!("shaders/dequantise.wgsl")],
        };
        files.concat()
    }
}
