"""Why a name of PyTorch's is absent, by what its name tells; why operations differ; what is wider on purpose."""

from __future__ import annotations

import re

PATTERNS: dict[str, str] = {
    "numbers of a few bits are out of scope": """
        ^q_ quant ^int_repr ^qscheme fbgemm ^fake_ choose_qparams fused_moving ^dequantize
    """,
    "sparse tensors are out of scope": """
        sparse coalesce _indices ^indices ^values ccol crow ^smm ^hspmm ^saddmm ^sspaddmm ^spmm ^[dh]smm ^dense_dim to_dense
        to_padded ^Sparse
    """,
    "they are for PyTorch's other back ends": """
        mkldnn cudnn miopen xpu ipu maia mtia vulkan ^is_mps ^is_xla ^is_hpu ^is_meta nested accelerator
        ^set_.*stream
    """,
    "they are PyTorch's internals, or fused kernels of its own": """
        ^native_norm$ ^batch_norm_ ^_ ^grouped_mm ^scaled_.*mm ^embedding_bag$ ^embedding_renorm_ ^slice_inverse$ ^output_nr$
        ^grad_dtype$ ^index$ ^as_subclass$ torch_function ^boolean_dispatch$ ^assert_int_or_pair$ ^Optional$
    """,
    "they belong to TorchScript, torch.compile and PyTorch's workings": """
        ^sym_ ^parse_ ^import_ir ^merge_type ^unify_type ^fork$ ^wait$ ^compile ^export script ^typename ^get_file ^classproperty
        ^is_distributed$ ^thread_safe profiler ^prepare_multi ^init_num ^to_dlpack ^get_device_module ^region_activation ^NestedIO
        ^InplaceFunction$ ^debug_unwrap$ ^swap_in ^enforce_grad_layout ^CheckpointFunction$ ^DefaultDeviceType$ ^GraphExecGroup$
        ^check_backward_validity$ ^detach_variable$ device_states$
    """,
    "they set what is global in PyTorch": """
        autocast deterministic ^set_flush ^set_warn ^is_warn float32_matmul ^set_default_tensor interop_threads default_device
        anomaly inference
    """,
    "they take modules, which are PyTorch's: here parameters are tensors, nested in any way": """
        ^stack_module ^update_bn$ ^replace_all_batch ^convert_conv ^fuse_(conv|linear) ^remove_(spectral|weight)_norm$
        ^spectral_norm$ ^weight_norm$ ^skip_init$
    """,
    "what is recorded has no changes in place already": "^functionalize$",
    "recurrent layers are steps under scan": "^(gru|lstm|rnn)",
    "dimensions with names were an experiment of PyTorch's": "^names$ ^rename ^align_ ^refine_names ^has_names",
    "there are no storages: memory is NumPy's": """
        storage ^data_ptr ^const_data share_memory ^is_shared ^set_$ ^is_set_to record_stream ^map_ ^map2_ ^apply_ ^module_load
        ^reinforce ^resize ^new$ ^dim_order ^hash_tensor ^name$ ^volatile ^layout
    """,
    "there is no number of 16 bits for each part of a complex one": "^chalf$",
    "pickle, and numpy.save, keep tensors": "^save$ ^load$",
    "withdrawn by PyTorch, or iterative methods that SciPy has": """
        lobpcg ^[Vv]ariable$ ^clip_grad_norm$ ^symeig ^solve$ ^lstsq$ ^eig$ ^matrix_rank$
    """,
}
"""Regular expressions by the reason."""
OTHERWISE = "not yet"


WHOLE = {
    "torch.autograd.profiler": "`f.report()` says what was compiled, and Python's profilers where the time goes",
}
"""Why a namespace is absent."""


def why_absent(name: str, space: str = "torch") -> str:
    """The reason, or that it is yet to come."""
    patterns = (why for why, many in PATTERNS.items() if any(re.search(p, name) for p in many.split()))
    return WHOLE.get(space) or next(patterns, OTHERWISE)


EXPLAINED = {
    "as_strided_scatter": "PyTorch gives the gradient to the places that were written over, instead of to the others; finite "
    "differences of its own values agree with the gradient here",
    "linalg.norm": "at 0 there is no second derivative: PyTorch's is nan, here it is 0, as the first",
}
"""Why an operation that is not whole differs, and who is right."""

WIDER: dict[str, tuple[str, ...]] = {
    "a number beside a tensor is an operand, as in NumPy": (
        *("atan2", "copysign", "fmax", "fmin", "fmod", "hypot", "ldexp", "maximum", "minimum"),
    ),
    "`out=` may share memory with an operand: what is written there was computed before, as in NumPy": ("take",),
    "a dimension that is not there is an IndexError, as it is everywhere else": ("narrow_copy",),
}
"""What PyTorch's database wants to be refused, or refused by another type of error, and is not, by the reason."""
