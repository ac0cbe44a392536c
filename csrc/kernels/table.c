/* All kernels for one kernel set and one real type, as one table of functions. Compiled once per pair. */
#include DSC_ISA
#include DSC_REAL

#include "depthwise_weights.h"
#include "elementwise.h"
#include "graph.h"
#include "pointwise_packed.h"
#include "pointwise_weights.h"
#include "converted.h"

/* As many as registers hold beside the factor: a sum that waits in memory would be the bound. */
#define CHAINS (VECTOR_REGISTERS >= 32 ? 16 : 12)

/* Independent multiply-adds in registers: the rate that no kernel can exceed. */
static double multiply_adds(dsc_int rounds)
{
    vec sums[CHAINS];
    volatile real opaque = (real)0.5;
    vec factor = v_spread(opaque), total = v_spread(0);
    UNROLL
    for (int i = 0; i < CHAINS; ++i)
        sums[i] = v_spread((real)i);
    for (dsc_int round = 0; round < rounds; ++round) {
        UNROLL
        for (int i = 0; i < CHAINS; ++i)
            sums[i] = sums[i] * factor + factor;
        __asm__ volatile("" : "+m"(round));
    }
    UNROLL
    for (int i = 0; i < CHAINS; ++i)
        total += sums[i];
    opaque = total[0];
    return (double)rounds * CHAINS * LANES;
}

#define JOIN_(a, b, c) a##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define TABLE JOIN(dsc_table_, ISA, DSC_SUFFIX)

extern const dsc_table TABLE;
const dsc_table TABLE = {
    .operation = {
        [DSC_DEPTHWISE] = {plan_any_depthwise, run_any_depthwise, false},
        [DSC_POINTWISE] = {plan_any_separable, run_any_separable, false, pack_mixing},
        [DSC_SEPARABLE] = {plan_any_separable, run_any_separable, false, pack_mixing},
        [DSC_STANDARD] = {plan_separable, run_separable, false, pack_mixing},
        [DSC_DEPTHWISE_WEIGHTS] = {plan_weights, run_weights, true},
        [DSC_POINTWISE_WEIGHTS] = {plan_products, run_products, true},
        [DSC_ACTIVATE] = {plan_elementwise, run_activation, true},
        [DSC_ACTIVATE_GRAD] = {plan_elementwise, run_activation_grad, true},
        [DSC_GRAPH] = {plan_graph, run_graph, false},
        [DSC_LONG_ROWS] = {plan_long_rows, run_long_rows, false},
    },
    .in_stages = in_stages,
    .arrange_axes = arrange_axes,
    .multiply_adds = multiply_adds,
};
