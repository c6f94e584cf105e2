//! Where networks run.

use crate::text::text;
use crate::worker_handle::Script;

/// A processor and a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The engine on the CPU, with the byte products of relaxed SIMD.
    CpuRelaxed,
    /// The engine on the CPU, as browsers without them run it.
    CpuSimd,
    /// The engine on the GPU, by the fastest of its ways.
    Gpu,
    /// wonnx on the GPU: files in floats.
    Wonnx,
    /// onnxruntime-web on the CPU, one thread: files.
    Onnxruntime,
}

impl Place {
    /// All of them, in the order of tables.
    pub const ALL: [Place; 5] =
        [Place::CpuRelaxed, Place::CpuSimd, Place::Gpu, Place::Wonnx, Place::Onnxruntime];

    /// Its name in addresses and reports.
    pub fn name(self) -> &'static str {
        match self {
            Place::CpuRelaxed => "cpu-relaxed",
            Place::CpuSimd => "cpu-simd128",
            Place::Gpu => "gpu",
            Place::Wonnx => "wonnx",
            Place::Onnxruntime => "onnxruntime",
        }
    }

    /// The place of that name.
    pub fn of(name: &str) -> Option<Place> {
        Place::ALL.into_iter().find(|place| place.name() == name)
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        text(match self {
            Place::CpuRelaxed => "bench.place.cpu",
            Place::CpuSimd => "bench.place.simd",
            Place::Gpu => "bench.place.gpu",
            Place::Wonnx => "bench.place.wonnx",
            Place::Onnxruntime => "bench.place.onnxruntime",
        })
    }

    /// The script of its worker.
    pub fn script(self) -> Script {
        match self {
            Place::CpuRelaxed => Script::RelaxedEngine,
            Place::CpuSimd | Place::Gpu => match (self, Script::engine()) {
                // The GPU's worker also does what the CPU is for, as fast as it can.
                (Place::Gpu, fastest) => fastest,
                _ => Script::Engine,
            },
            Place::Wonnx => Script::Wonnx,
            Place::Onnxruntime => Script::Peer,
        }
    }

    /// The name of its worker, by which it wishes for processor or GPU.
    pub fn wish(self) -> &'static str {
        match self {
            Place::CpuRelaxed | Place::CpuSimd => "?cpu",
            Place::Gpu => "?gpu",
            Place::Wonnx | Place::Onnxruntime => "",
        }
    }

    /// Whether the engine runs there: networks of the bundle, faces and pictures. The others run files.
    pub fn is_engine(self) -> bool {
        matches!(self, Place::CpuRelaxed | Place::CpuSimd | Place::Gpu)
    }

    /// The fastest place of the processor.
    pub fn processor() -> Place {
        match Script::engine() {
            Script::RelaxedEngine => Place::CpuRelaxed,
            _ => Place::CpuSimd,
        }
    }
}
