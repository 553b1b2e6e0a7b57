//! The sizes at which the library changes its way of working, all in one place.
//!
//! Each was measured; none is part of a result's definition, but those that split sums decide its last bits. None
//! depends on the number of threads, so that the bits do not either. Those that follow from the caches are functions:
//! on machines with other caches the last bits may be others.

use super::machine::Machine;

/// From so many flops on, a product of whole matrices is worth waking other threads for (some 20 µs of one core).
pub(crate) const THREADED_PRODUCT_FLOPS: usize = 2_000_000;
/// The same for a product with a weight laid out in strips, whose threads have nothing to pack first.
pub(crate) const THREADED_STRIPS_FLOPS: usize = 1_000_000;
/// The same inside one contraction of a batch, whose parts need no packing either.
pub(crate) const THREADED_STEP_FLOPS: usize = 1_000_000;
/// From so many flops on, a call from outside the pool hands its work over. With pauses between calls, that takes 30 to
/// 60 µs: on Zen 1, with registers of 32 bytes, the time of 1.5 Mflop. Wider registers do more in the same time.
pub(crate) fn waking_flops() -> usize {
    50_000 * Machine::here().register
}
/// Values after an axis from which on one sample is shared out by these values, instead of by the axis.
pub(crate) const SHARED_COLUMNS: usize = 1 << 13;
/// From so many flops on, the blocks of a batch are worth other threads; below, all is done in the calling thread.
pub(crate) const THREADED_BATCH_FLOPS: usize = 1_000_000;

/// Rows up to which a large weight is read where it lies, and not laid out at all; `inner_follows` says whether the
/// inner dimension follows its rows, so that every row of the batch is summed along them. On Zen 3, of 4096 × 4096, 16
/// rows take 0.85 of the time of strips along its rows, 1.7 times that of strips across them, where steps of a power of
/// two make the rows of a tile push one another out of the first level.
pub(crate) fn unpacked_rows(inner_follows: bool) -> usize {
    match (widest_registers(), inner_follows) {
        // Beyond these, panels are faster: on Cascade Lake 1.5 and 1.3 times at 32 rows.
        (true, true) if lays_out_panels() => 15,
        (true, false) if lays_out_panels() => 24,
        (true, _) => NARROW_UNPACKED_ROWS,
        (false, true) => 24,
        (false, false) => 8,
    }
}
/// The same for a weight with fewer columns than a strip, and with the widest registers where no panels are laid out.
pub(crate) const NARROW_UNPACKED_ROWS: usize = 48;
/// Rows up to which strips are better than a general product, which is made for more: on Zen 1 it does 64 to 96 rows
/// with a weight as it lies at a third of its speed.
pub(crate) const STRIP_ROWS: usize = 128;
/// The same for a batch that stays near, see [`near_bytes`].
pub(crate) const NEAR_STRIP_ROWS: usize = 1024;
/// Columns of the result per task at least, for few rows.
pub(crate) const UNPACKED_COLUMNS: usize = 512;
/// Rows of a weight that are read side by side for each row of the batch, and how many at least and at most: few, so
/// that memory is read in few long streams; more where sums of more rows would be read and written between them.
pub(crate) const SIDE_BY_SIDE: usize = 4;
pub(crate) const LEAST_SIDE_BY_SIDE: usize = 8;
pub(crate) const MOST_SIDE_BY_SIDE: usize = 32;
/// Columns of a strip that is laid out: two or more registers on every instruction set.
pub(crate) const STRIP_COLUMNS: usize = 32;
/// Inner dimension done at a time, so that a piece of a strip stays in the first-level cache.
pub(crate) const STRIP_DEPTH: usize = 256;

/// Whether both sides of a large product are laid out by this library: for cores that outrun their last level. On
/// Cascade Lake the `gemm` crate multiplies squares of 2048 at 0.65 of what the multipliers do, panels at 0.78; on
/// Zen 3 it does 512 rows by a weight of 4096 × 4096 at 0.58, panels at 0.75; on Zen 1 it reaches their rate.
fn lays_out_panels() -> bool {
    Machine::here().outruns_last
}
/// Whether the registers are the widest there are, which do twice as much for every value they are given.
fn widest_registers() -> bool {
    Machine::here().register == REGISTER_BYTES
}
/// Whether panels are laid out for such registers, which gain the most by them.
fn widest_panels() -> bool {
    lays_out_panels() && widest_registers()
}
/// The least inner dimension for which panels pay.
pub(crate) const PANELS_DEPTH: usize = 32;
/// Whether panels are worth laying out for a right side of so many bytes. On Zen 3 others keep up below several times
/// the second level: with 512 rows in f32, panels take 1.1 times as long for 768 × 784, as long for 1024 × 1024, and
/// 0.83 for 4096 × 4096. Cascade Lake was measured with large ones only.
pub(crate) fn panels_pay(right: usize) -> bool {
    lays_out_panels() && (widest_registers() || right >= 8 * Machine::here().second)
}
/// Rows from which panels are better than strips. On Zen 3, 48 rows take 1.2 times as long for 1024 × 1024, up to 128
/// rows as long for 4096 × 4096.
pub(crate) fn panels_rows() -> usize {
    if widest_registers() { PANEL_ROWS } else { STRIP_ROWS + 1 }
}
/// Rows of a panel: as many as have room in registers with two of columns each.
pub(crate) const PANEL_ROWS: usize = 12;
/// Bytes of a row of a panel that are done at a time, so that the panel stays in the first-level cache.
pub(crate) const PANEL_BYTES: usize = 1536;
/// Rows whose panels are laid out together at most, while the other side is laid out once.
pub(crate) const PANELS_TOGETHER: usize = 2016;
/// Rows up to which a product with a weight is made as its transposed, for which the weight is read as it lies. For
/// registers of 64 bytes only: with others, turning a weight in registers takes little beside its product.
pub(crate) fn turned_rows() -> usize {
    if widest_registers() { 512 } else { 0 }
}
/// Columns of a product that are made as rows, and turned at the end.
pub(crate) const TURNED_COLUMNS: usize = 192;
/// Rows of such a product that are turned back at a time.
pub(crate) const ROWS_TURNED: usize = 16;
/// Columns whose strips stay in the second-level cache while panels go past them: three quarters of it, the part that
/// was measured at most.
pub(crate) fn block_columns() -> usize {
    (Machine::here().second / 4 * 3 / PANEL_BYTES / STRIP_COLUMNS * STRIP_COLUMNS).clamp(2 * STRIP_COLUMNS, 512)
}
/// Rows that are asked for before they are laid out.
pub(crate) const ROWS_AHEAD: usize = 4;

/// Inner dimension from which tiles of 16 registers have 6 rows, else 4. On Zen 3, with 24 rows, 6 do 0.57 of what the
/// multipliers do with an inner dimension of 8, 0.95 with 128 and 0.92 with 256; 4 do 0.69, 0.93 and 0.85.
pub(crate) const LONG_SUM: usize = 128;
/// Inner dimension from which laying out `B` in pairs of rows, and the additions at the end, pay.
pub(crate) const PAIRS_DEPTH: usize = 32;

/// Matrices up to this many elements stay in the first-level cache while a batch goes by: the small kernels, which do
/// not pack, are then at least as fast as a packing product.
pub(crate) const SMALL_MATRIX: usize = 128 * 128;
/// Gradients of matrices up to this many elements are summed by the small kernels, over so many rows. On Cascade Lake
/// panels are faster for the larger ones, on Zen 3 slower (1.2 times for 512 × 512 over 256 rows).
pub(crate) fn small_gradient(rows: usize) -> usize {
    if widest_panels() && rows >= 64 { SMALL_MATRIX } else { 512 * 512 }
}
/// So few rows do not pay for transposing a small matrix.
pub(crate) const UNTRANSPOSED_ROWS: usize = 16;
/// Values after an axis up to which a matrix of a few rows has a kernel of its own.
pub(crate) const NARROW_ROW: usize = 16;
/// Values in a row that share one factor of a diagonal, from which on the factor is not written out for each.
pub(crate) const SHORT_RUN: usize = 64;
/// Values that one task of a multiplication by a diagonal handles at most.
pub(crate) const SCALE_TASK: usize = 1 << 15;
/// Rows of a batch that share the cost of laying a matrix out in strips.
pub(crate) const ROWS_FOR_STRIPS: usize = 256;

/// Bytes of a batch that goes past every strip of a weight: as many as it is read fast from. In the last level it has
/// the weight and other programs beside it.
pub(crate) fn near_bytes() -> usize {
    let Machine { second, last, .. } = Machine::here();
    if widest_panels() { second } else { second.max(last / 4) }
}
/// Bytes of intermediates that a fused block of a batch may use: there are two of them, and the factors.
pub(crate) fn block_bytes() -> usize {
    (Machine::here().second / 4).clamp(64 << 10, 1 << 20)
}
/// A matrix larger than this does not share the second-level cache with a block.
pub(crate) fn large_matrix_bytes() -> usize {
    Machine::here().second
}
/// Bytes of intermediates that a chunk of a batch may use, where each step takes it as a whole.
pub(crate) const CHUNK_BYTES: usize = 8 << 20;
/// Values that a panel of a long row has side by side at least: one or two cache lines.
pub(crate) const PANEL_ROW: usize = 16;
/// Elements of a matrix up to which steps are taken together on panels of long rows.
pub(crate) const STAGED_MATRIX: usize = 64 * 64;
/// Blocks that a batch is cut into at least, as far as they are worth it, so that every thread finds work.
pub(crate) const MIN_BLOCKS: usize = 16;
/// Flops that make a block worth handing to another thread.
pub(crate) const BLOCK_FLOPS: usize = 200_000;
/// Partial sums that a gradient is split into at most: not a number of threads, so that the order of the additions is
/// fixed.
pub(crate) const PARTIAL_SUMS: usize = 16;
/// Flops for every value of a partial sum that pay for clearing it and adding it up.
pub(crate) const FLOPS_PER_PARTIAL: usize = 64;

/// Values that one task of a merge `W ← W + s·(A ⊗ B)` handles at least.
pub(crate) const MERGE_TASK: usize = 1 << 16;

/// Values of one tile of a rearranged matrix: with its neighbours in the products it fits the second-level cache.
pub(crate) const REARRANGED_TILE: usize = 1 << 15;
/// Tiles that one task adds up before its sum joins the others.
pub(crate) const REARRANGED_TILES_PER_TASK: usize = 8;
/// Values that one task of a scan over a matrix reads at least.
pub(crate) const SCAN_TASK: usize = 1 << 16;

/// Bytes of the widest registers there are. The costs below are in multiplications of one such register.
pub(crate) const REGISTER_BYTES: usize = 64;
/// Cost of reading or writing one register of data in the second-level cache.
pub(crate) const MOVE_COST: f64 = 6.0;
/// Cost of beginning and ending one piece of the data with a small matrix.
pub(crate) const PIECE_COST: f64 = 16.0;
/// Cost of beginning a step.
pub(crate) const STEP_COST: f64 = 500.0;
/// Cost of one element of a product of neighbouring factors.
pub(crate) const FORMING_COST: f64 = 10.0;
/// Rows and columns that a product of neighbouring factors has at most.
pub(crate) const GROUPED_SIDE: usize = 64;
/// Values that a product of neighbouring diagonals has at most.
pub(crate) const GROUPED_DIAGONAL: usize = 4096;
/// Values of a batch from which on it is worth looking for neighbours to multiply.
pub(crate) const LEAST_GROUPED: usize = 512;
