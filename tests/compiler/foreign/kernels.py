"""TTIR texts of kernels, as stock Triton prints them."""

DOUBLE = """
module {
  tt.func public @double(%x: !tt.ptr<f32> {tt.divisibility = 16 : i32}, %y: !tt.ptr<f32>, %n: i32) attributes {noinline = false} {
    %size = arith.constant 128 : i32
    %pid = tt.get_program_id x : i32
    %start = arith.muli %pid, %size : i32
    %range = tt.make_range {end = 128 : i32, start = 0 : i32} : tensor<128xi32>
    %starts = tt.splat %start : i32 -> tensor<128xi32>
    %offsets = arith.addi %starts, %range : tensor<128xi32>
    %ends = tt.splat %n : i32 -> tensor<128xi32>
    %mask = arith.cmpi slt, %offsets, %ends : tensor<128xi32>
    %xs = tt.splat %x : !tt.ptr<f32> -> tensor<128x!tt.ptr<f32>>
    %xp = tt.addptr %xs, %offsets : tensor<128x!tt.ptr<f32>>, tensor<128xi32>
    %value = tt.load %xp, %mask : tensor<128x!tt.ptr<f32>>
    %twice = arith.addf %value, %value : tensor<128xf32>
    %ys = tt.splat %y : !tt.ptr<f32> -> tensor<128x!tt.ptr<f32>>
    %yp = tt.addptr %ys, %offsets : tensor<128x!tt.ptr<f32>>, tensor<128xi32>
    tt.store %yp, %twice, %mask : tensor<128x!tt.ptr<f32>>
    tt.return
  }
}
"""  # noqa: E501

MATRIX_PRODUCT = """
module {
  tt.func public @product(%a: !tt.ptr<f16> {tt.divisibility = 16 : i32}, %b: !tt.ptr<f16> {tt.divisibility = 16 : i32}, %c: !tt.ptr<f32> {tt.divisibility = 16 : i32}) attributes {noinline = false} {
    %zero = arith.constant dense<0.000000e+00> : tensor<128x128xf32>
    %width = arith.constant dense<128> : tensor<128x1xi32>
    %range = tt.make_range {end = 128 : i32, start = 0 : i32} : tensor<128xi32>
    %rows = tt.expand_dims %range {axis = 1 : i32} : tensor<128xi32> -> tensor<128x1xi32>
    %columns = tt.expand_dims %range {axis = 0 : i32} : tensor<128xi32> -> tensor<1x128xi32>
    %row_offsets = arith.muli %rows, %width : tensor<128x1xi32>
    %left = tt.broadcast %row_offsets : tensor<128x1xi32> -> tensor<128x128xi32>
    %right = tt.broadcast %columns : tensor<1x128xi32> -> tensor<128x128xi32>
    %offsets = arith.addi %left, %right : tensor<128x128xi32>
    %as = tt.splat %a : !tt.ptr<f16> -> tensor<128x128x!tt.ptr<f16>>
    %ap = tt.addptr %as, %offsets : tensor<128x128x!tt.ptr<f16>>, tensor<128x128xi32>
    %av = tt.load %ap : tensor<128x128x!tt.ptr<f16>>
    %bs = tt.splat %b : !tt.ptr<f16> -> tensor<128x128x!tt.ptr<f16>>
    %bp = tt.addptr %bs, %offsets : tensor<128x128x!tt.ptr<f16>>, tensor<128x128xi32>
    %bv = tt.load %bp : tensor<128x128x!tt.ptr<f16>>
    %product = tt.dot %av, %bv, %zero, inputPrecision = tf32 : tensor<128x128xf16> * tensor<128x128xf16> -> tensor<128x128xf32>
    %cs = tt.splat %c : !tt.ptr<f32> -> tensor<128x128x!tt.ptr<f32>>
    %cp = tt.addptr %cs, %offsets : tensor<128x128x!tt.ptr<f32>>, tensor<128x128xi32>
    tt.store %cp, %product : tensor<128x128x!tt.ptr<f32>>
    tt.return
  }
}
"""  # noqa: E501


def calling(symbol: str) -> str:
    """`DOUBLE` with a device function of one f32 in the place of the sum."""
    call = f'tt.extern_elementwise %value {{libname = "", libpath = "", pure = true, symbol = "{symbol}"}}'
    vector = "tensor<128xf32>"
    return DOUBLE.replace(f"arith.addf %value, %value : {vector}", f"{call} : ({vector}) -> {vector}")
