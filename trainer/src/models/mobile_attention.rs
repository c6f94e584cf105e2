//! MobileNetV4's attention block: multi-query attention on a map, over a smaller map where that is dear.

use super::attention::Attention;
use super::layers::{ConvNorm, Executor};
use super::norm::Norm;
use super::point_conv::PointConv;
use crate::ops::{Activation, Window};
use candle_core::Result;
use candle_nn::{Init, VarBuilder};

/// Kernel of the convolution that makes keys' and values' map smaller.
const DOWN_KERNEL: usize = 3;

/// Batch norm, attention whose heads share one key and value, layer scale, and the input added to it.
#[derive(Debug, Clone)]
pub(super) struct MobileAttention {
    norm: Norm,
    query: PointConv,
    key: Shared,
    value: Shared,
    attention: Attention,
    output: PointConv,
}

impl MobileAttention {
    /// The block of `channels` channels with `heads` heads of `head_channels` channels.
    pub(super) fn new(
        vb: &VarBuilder,
        channels: usize,
        [heads, head_channels]: [usize; 2],
        kv_stride: usize,
    ) -> Result<Self> {
        let attn = vb.pp("attn");
        let wide = heads * head_channels;
        let scale = vb.get_with_hints(channels, "layer_scale.gamma", Init::Const(1.0))?;
        Ok(MobileAttention {
            norm: Norm::new(vb, "norm", channels)?,
            query: PointConv::without_bias(&attn, "query.proj", [channels, wide])?,
            key: Shared::new(&attn.pp("key"), [channels, head_channels], kv_stride)?,
            value: Shared::new(&attn.pp("value"), [channels, head_channels], kv_stride)?,
            attention: Attention::whole(attn.prefix(), heads, 1),
            output: PointConv::without_bias(&attn, "output.proj", [wide, channels])?.scaled(scale),
        })
    }

    pub(super) fn channels_out(&self) -> usize {
        self.output.channels_out()
    }

    pub(super) fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let normalised = executor.norm(&self.norm, x)?;
        let query = executor.point_conv(&self.query, &normalised)?;
        let key = self.key.run(executor, &normalised)?;
        let value = self.value.run(executor, &normalised)?;
        let seen = executor.attention(&self.attention, [&query, &key, &value])?;
        let y = executor.point_conv(&self.output, &seen)?;
        executor.add(&y, x)
    }
}

/// The key, or the value, that all heads share.
#[derive(Debug, Clone)]
struct Shared {
    down: Option<ConvNorm>,
    projection: PointConv,
}

impl Shared {
    fn new(vb: &VarBuilder, [channels, head_channels]: [usize; 2], stride: usize) -> Result<Self> {
        let window = Window::same(DOWN_KERNEL, stride);
        let down = || ConvNorm::depthwise(vb, ["down_conv", "norm"], channels, window, Activation::Identity);
        Ok(Shared {
            down: (stride > 1).then(down).transpose()?,
            projection: PointConv::without_bias(vb, "proj", [channels, head_channels])?,
        })
    }

    fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        match &self.down {
            Some(down) => {
                let smaller = executor.conv_norm(down, x)?;
                executor.point_conv(&self.projection, &smaller)
            }
            None => executor.point_conv(&self.projection, x),
        }
    }
}
