//! The device's own clock around each launch.

use super::device::Gpu;
use super::error::GpuError;
use super::session::read_back;
use wgpu30::{
    Buffer, BufferDescriptor, BufferUsages, CommandEncoder, ComputePassTimestampWrites, QuerySet,
    QuerySetDescriptor, QueryType,
};

/// Most launches that are timed: every device takes as many queries.
const MAX_LAUNCHES: usize = 2048;

/// Two readings of the clock for each launch.
pub struct Stopwatch {
    queries: QuerySet,
    resolved: Buffer,
    staging: Buffer,
    count: u32,
}

impl Stopwatch {
    /// For so many launches, if `gpu` shows its clock.
    pub fn new(gpu: &Gpu, launches: usize) -> Option<Self> {
        if !gpu.has_timestamps() || launches == 0 || launches > MAX_LAUNCHES {
            return None;
        }
        let count = 2 * launches as u32;
        let descriptor = QuerySetDescriptor { label: None, ty: QueryType::Timestamp, count };
        let buffer = |usage: BufferUsages| {
            let size = u64::from(count) * 8;
            gpu.device().create_buffer(&BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Stopwatch {
            queries: gpu.device().create_query_set(&descriptor),
            resolved: buffer(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC),
            staging: buffer(BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            count,
        })
    }

    /// The readings before and behind launch `index`.
    pub fn around(&self, index: usize) -> ComputePassTimestampWrites<'_> {
        let first = 2 * index as u32;
        ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Takes the readings to where the CPU reads them.
    pub fn stop(&self, encoder: &mut CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..self.count, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, u64::from(self.count) * 8);
    }

    /// Milliseconds between the two readings of each launch.
    ///
    /// # Errors
    /// [`GpuError::Fault`].
    pub async fn read(&self, gpu: &Gpu) -> Result<Vec<f64>, GpuError> {
        let bytes = read_back(gpu, &self.staging).await?;
        let readings: Vec<u64> = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let tick_ms = f64::from(gpu.queue().get_timestamp_period()) / 1e6;
        Ok(readings
            .as_chunks()
            .0
            .iter()
            .map(|[start, end]| end.saturating_sub(*start) as f64 * tick_ms)
            .collect())
    }
}
