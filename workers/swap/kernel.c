/* The swap's inner loop for bfloat16 weights on a CPU: weight = pristine + sum of scale * up @ down, rounded once.
 *
 * It takes about as long as a copy: a tile of the weight stays in registers from the first product to the rounding. In C
 * with the vector types of GCC and Clang, so that it runs on any CPU; faster where the CPU multiplies bfloat16 itself
 * (AVX512_BF16). Compiled and called by merge_kernel.py, which also says what STRIPE is.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#define VECTORS 2
#define COLUMNS (VECTORS * LANES) /* of a tile; with AVX-512 one line of the cache */

typedef uint16_t bfloat16;
typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef uint32_t words __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef uint16_t halves __attribute__((vector_size(LANES * sizeof(uint16_t))));

struct product {
    const bfloat16 *up;   /* [rows, rank] */
    const bfloat16 *down; /* [rank, columns] */
    int64_t rank;         /* a multiple of 2 */
    float scale;
};

struct rewrite {
    bfloat16 *weight;         /* [rows, columns] */
    const bfloat16 *pristine; /* [rows, columns] */
    int64_t rows;             /* a multiple of 8 */
    int64_t columns;          /* a multiple of 32 */
    const struct product *products;
    int64_t count; /* of the products */
};

static inline floats read_vector(const bfloat16 *from) {
    halves narrow;
    memcpy(&narrow, from, sizeof narrow);
    return (floats)(__builtin_convertvector(narrow, words) << 16);
}

/* What depends on the CPU: a factor, which is as many numbers of a row of `up`, or a column of `down`, as are multiplied
 * at once; and how COLUMNS sums are written, rounded to the nearest, and to the even one of two that are as near. The
 * instructions for bfloat16 take numbers below 2^-126 for 0. */
#ifdef __AVX512BF16__
#include <immintrin.h>
#define ROWS 8 /* of a tile */
#define PER_FACTOR 2
typedef uint32_t factor;
typedef words factors;

static inline factor make_factor(const bfloat16 *from, int64_t step) { return from[0] | (factor)from[step] << 16; }

static inline floats add_products(floats sum, factor up, factors down) {
    return (floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(up), (__m512bh)down);
}

static inline void write_sums(bfloat16 *to, const floats sums[VECTORS], bool past_caches) {
    __m512i line = (__m512i)_mm512_cvtne2ps_pbh((__m512)sums[1], (__m512)sums[0]);
    if (past_caches)
        _mm512_stream_si512((void *)to, line);
    else
        _mm512_storeu_si512(to, line);
}

static inline void finish_writing(void) { _mm_sfence(); }
#else
#define ROWS 4
#define PER_FACTOR 1
typedef float factor;
typedef floats factors;

static inline factor make_factor(const bfloat16 *from, int64_t step) {
    (void)step;
    uint32_t bits = (uint32_t)from[0] << 16;
    factor number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static inline floats add_products(floats sum, factor up, factors down) { return sum + up * down; }

static inline void write_sums(bfloat16 *to, const floats sums[VECTORS], bool past_caches) {
    (void)past_caches;
    for (int v = 0; v < VECTORS; v++) {
        words bits = (words)sums[v];
        halves narrow = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, halves);
        memcpy(to + v * LANES, &narrow, sizeof narrow);
    }
}

static inline void finish_writing(void) {}
#endif

/* An up matrix as factors: [rows, rank / PER_FACTOR]. */
static void lay_out_up(const struct product *product, int64_t rows, factor *to) {
    for (int64_t number = 0; number < rows * product->rank; number += PER_FACTOR)
        *to++ = make_factor(product->up + number, 1);
}

/* A stripe of a down matrix as factors: [rank / PER_FACTOR, STRIPE]. */
static void lay_out_down(const struct product *product, int64_t columns, int64_t start, int64_t width, factor *to) {
    for (int64_t rank = 0; rank < product->rank; rank += PER_FACTOR, to += STRIPE)
        for (int64_t column = 0; column < width; column++)
            to[column] = make_factor(product->down + rank * columns + start + column, columns);
}

/* ROWS x COLUMNS numbers of a weight. `down` is where they begin in the stripe that is laid out. */
static inline void rewrite_tile(const struct rewrite *it, int64_t row, int64_t column, const factor *up,
                                const factor *down, bool past_caches) {
    floats total[ROWS][VECTORS];
    for (int i = 0; i < ROWS; i++) {
        const bfloat16 *from = it->pristine + (row + i) * it->columns + column;
        for (int v = 0; v < VECTORS; v++)
            total[i][v] = read_vector(from + v * LANES);
        __builtin_prefetch(from + ROWS * it->columns); /* the CPU does not foresee that the next rows come next */
    }
    for (int64_t number = 0; number < it->count; number++) {
        const struct product *product = it->products + number;
        int64_t depth = product->rank / PER_FACTOR;
        floats sum[ROWS][VECTORS] = {0};
        for (int64_t k = 0; k < depth; k++, down += STRIPE) {
            factors below[VECTORS];
            for (int v = 0; v < VECTORS; v++) /* one by one: GCC copies the whole in pieces, and reading it then stalls */
                memcpy(below + v, down + v * LANES, sizeof below[v]);
            for (int i = 0; i < ROWS; i++)
                for (int v = 0; v < VECTORS; v++)
                    sum[i][v] = add_products(sum[i][v], up[(row + i) * depth + k], below[v]);
        }
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < VECTORS; v++)
                total[i][v] += product->scale * sum[i][v];
        up += it->rows * depth;
    }
    for (int i = 0; i < ROWS; i++)
        write_sums(it->weight + (row + i) * it->columns + column, total[i], past_caches);
}

static void rewrite_weight(const struct rewrite *it, factor *scratch) {
    bool past_caches = (uintptr_t)it->weight % (COLUMNS * sizeof(bfloat16)) == 0; /* the CPU wants whole lines for that */
    const factor *up = scratch;
    for (int64_t number = 0; number < it->count; number++) {
        lay_out_up(it->products + number, it->rows, scratch);
        scratch += it->rows * it->products[number].rank / PER_FACTOR;
    }
    for (int64_t start = 0; start < it->columns; start += STRIPE) {
        int64_t width = it->columns - start < STRIPE ? it->columns - start : STRIPE;
        factor *down = scratch;
        for (int64_t number = 0; number < it->count; number++) {
            lay_out_down(it->products + number, it->columns, start, width, down);
            down += it->products[number].rank / PER_FACTOR * STRIPE;
        }
        for (int64_t row = 0; row < it->rows; row += ROWS)
            for (int64_t column = 0; column < width; column += COLUMNS)
                rewrite_tile(it, row, start + column, up, scratch + column, past_caches);
    }
}

/* Rewrite weights until none is left. Each thread calls it with the same `next`, which is 0 at first, and with a scratch
 * of its own, of (rows + STRIPE) * rank numbers of 4 bytes, where rank is that of all products of a weight together. */
void rewrite_weights(const struct rewrite *rewrites, int64_t count, int64_t *next, factor *scratch) {
    for (int64_t number; (number = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) < count;)
        rewrite_weight(rewrites + number, scratch);
    finish_writing();
}
