"""The formulas of the estimate, as data: Python evaluates them here, the calculator's page in
JavaScript.

An expression uses names, numbers, ``+ - * /``, parentheses, and the functions ``min``, ``max``,
``ceil``, ``floor`` and ``where(condition, then, otherwise)``, where 0 is false; that is both Python
and JavaScript, and in both all numbers here are exact, being below 2⁵³. Sizes are in bytes. Names
ending in ``_bytes`` that are no total are bytes per number.

``peftlab.memory.table`` says in which order what is evaluated; each part below says what it may
use. ``T`` is the number of positions of a step, ``batch * length``.

Sources, by their short names in the comments:

    allocator     PyTorch, c10/cuda/CUDACachingAllocator.cpp: sizes are multiples of 512 bytes
    llama, …      transformers, models/llama/modeling_llama.py, …
    loss          transformers, loss/loss_utils.py, ForCausalLMLoss: logits in float32
    autocast      PyTorch, "CUDA Op-Specific Behavior" in the documentation of torch.amp
    adamw         PyTorch, optim/adamw.py → adam.py, _multi_tensor_adam
    peft.lora     peft, tuners/lora/layer.py, Linear.forward; bnb.py, Linear4bit.forward
    peft.dora     peft, tuners/lora/dora.py, DoraLinearLayer.forward
    peft.kbit     peft, utils/other.py, prepare_model_for_kbit_training
    bnb.4bit      bitsandbytes, autograd/_functions.py, MatMul4Bit; functional.py, quantize_4bit
    bnb.optim     bitsandbytes, optim/optimizer.py, Optimizer2State.init_state, get_state_buffer
    qlora         arXiv 2305.14314, §3
"""

from __future__ import annotations

# --- functions -----------------------------------------------------------------------------------

# name: (parameters, expression). They may use every name that is known when they are called.
FUNCTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    # The caching allocator hands out multiples of 512 bytes (kMinBlockSize). It asks the GPU for
    # multiples of 2 MiB for tensors of at least 10 MiB (kMinLargeAlloc, kRoundLarge), and leaves a
    # rest of up to 1 MiB with the tensor (kSmallSize, should_split), where the counter counts it.
    "rounded": (
        ("bytes",),
        "where((bytes >= 10485760) * (ceil(bytes / 2097152) * 2097152 - bytes <= 1048576),"
        " ceil(bytes / 2097152) * 2097152, ceil(bytes / 512) * 512)",
    ),
    # Optimizer states of one tensor of n numbers. torch's are like the parameter; bitsandbytes'
    # are float32, or in 8 bit with a float32 scale for each 256, unless the tensor has fewer than
    # 4096 numbers (bnb.optim: min_8bit_size). A paged optimizer's buffers of 100,000 numbers and
    # more are managed memory, which the allocator does not count.
    "states": (
        ("n", "number_bytes"),
        "torch_states * rounded(n * number_bytes)"
        " + where(eight_bit * (n >= 4096), 0, bnb_states * (1 - paged_optimizer * (n >= 100000)))"
        " * rounded(4 * n)"
        " + eight_bit * (n >= 4096) * bnb_states"
        " * (rounded(4 * ceil(n / 256)) + (1 - paged_optimizer * (n >= 100000)) * rounded(n))",
    ),
    "paged_states": (
        ("n",),
        "bnb_states * paged_optimizer * (n >= 100000) * where(eight_bit, n, 4 * n)",
    ),
}

# --- sizes and dtypes ----------------------------------------------------------------------------

# Evaluated first, in this order, from the inputs: the architecture's numbers and the settings'.
SIZES: dict[str, str] = {
    "queries": "heads * head_dim",
    "keys": "kv_heads * head_dim",
    "grouped": "kv_heads < heads",
    # Prompt tuning lengthens the sequence, prefix tuning only the keys and values.
    "length": "seq_len + prompt * virtual_tokens",
    "key_length": "length + prefix * virtual_tokens",
    "T": "batch * length",
    # dtypes, in bytes per number. In a quantized model everything that is not in 4 bit is cast to
    # float32 (peft.kbit).
    "weight_bytes": "where(sixteen_bit, 2, 4)",
    "other_bytes": "where(max(1 - sixteen_bit, quantized * peft), 4, 2)",
    # The residual stream has the embeddings' dtype. Under autocast LayerNorm returns float32
    # (autocast), and BERT's residual stream is what its LayerNorms return.
    "stream_bytes": "where(bert * autocast, 4, other_bytes)",
    "norm_bytes": "where(layer_norm * autocast, 4, stream_bytes)",
    # What a linear layer returns: Linear4bit computes in 16 bit but returns its input's dtype.
    "product_bytes": "where(autocast, 2, norm_bytes)",
    "logits_bytes": "where(autocast, 2, other_bytes)",
    # Adapters are float32; under autocast their products are bfloat16.
    "adapter_product_bytes": "where(autocast, 2, 4)",
    # transformers hands grouped keys and values to scaled_dot_product_attention as they are. No
    # fused kernel takes them in float32, so that PyTorch computes softmax(Q Kᵀ) V step by step.
    "unfused": "(1 - eager) * (1 - flash) * grouped * (product_bytes == 4) * (1 - prefix)",
    "fused": "(1 - eager) * (1 - unfused)",
    # transformers casts to 16 bit for the flash-attn package, which knows no other dtypes.
    "attention_bytes": "where(flash, 2, product_bytes)",
    "scores": "batch * heads * length * key_length",
    # The residual stream beside a sublayer, unless a norm keeps it for the backward pass anyway.
    "residual": "where(max(layer_norm, stream_bytes == 4), 0, stream_bytes * T * hidden)",
    # A norm's output, alive while its sublayer runs, unless the linear layers keep it anyway.
    "sublayer_input": "(1 - full) * (1 - low_rank * (norm_bytes == 4)) * norm_bytes * T * hidden",
    "stream_gradient": "stream_bytes * T * hidden",
}

# --- the linear layers ---------------------------------------------------------------------------

# For each linear layer: d_in, d_out, targeted (whether LoRA adapts it), ia3_output and ia3_input
# (whether IA³ scales its output or its input), and the names of its operation, below.
LINEAR: dict[str, str] = {
    "weight": "d_in * d_out",
    "adapted": "low_rank * targeted",
    "adapted_out": "adapted * d_out",
    # DoRA: the identity that peft sends through B A, the dense B A, W, and s B A + W with its terms
    # (peft.dora: get_lora_weight, get_weight_norm); peftlab makes a float32 copy of W.
    "dense": "dora * adapted * where(peft, 4 * (d_in * d_in + 4 * weight), 4 * weight)",
    "scaled_out": "ia3 * ia3_output * d_out",
    "scaled_in": "ia3 * ia3_input * d_in",
    "trains": "max(adapted, ia3 * max(ia3_output, ia3_input), bitfit * bias)",
    # What an adapter keeps for the backward pass, beside an input that the layers share.
    #   LoRA: the output of A, and a copy of the input: in the adapter's float32 (peft.lora,
    #   _cast_input_dtype), or under autocast in bfloat16, with bfloat16 copies of A and B.
    #   DoRA: also the outputs of the base layer and of B, which the magnitude multiplies
    #   (peft.dora); peftlab keeps their sum in float32.
    #   IA³: the output, or the input, that its vector multiplies.
    "kept": "T * (adapted * adapter_product_bytes * (rank + copies_input * d_in)"
    " + dora * adapted_out * where(peft, product_bytes + 4, 4)"
    " + scaled_out * product_bytes + scaled_in * where(peft, 4, arrives))"
    " + autocast * adapted * 2 * rank * (d_in + d_out)",
}

# --- the operations of a block -------------------------------------------------------------------

# What each operation keeps for the backward pass, and how much is alive beside that and what the
# operations before it keep, at the operation's worst moment in the forward and in the backward
# pass. Names of an operation: its fields in ``blocks.BLOCKS``, and of "linears" also the sums
# (``sum_…``) and maxima (``max_…``) of LINEAR and of d_out over its layers, and their ``count``.
OPERATIONS: dict[str, dict[str, str]] = {
    # llama, LlamaRMSNorm: the input in float32, its factor, and before the weight the normalized
    # input if the weight trains. Its backward pass makes five float32 copies: PyTorch derives the
    # gradient of each step on its own.
    "rms_norm": {
        "trains": "0",
        "saved": "T * (4 * width + 4 + full * norm_bytes * width)",
        "forward": "residual + 8 * T * width",
        "backward": "stream_gradient + 20 * T * width",
    },
    # One fused kernel that keeps its input, the mean and the factor, in float32 under autocast.
    "layer_norm": {
        "trains": "bitfit",
        "saved": "T * (norm_bytes * width + 8)",
        "forward": "2 * norm_bytes * T * width",
        "backward": "stream_gradient + 2 * norm_bytes * T * width",
    },
    # Linear layers that share an input of ``width`` numbers, ``arrives`` bytes each;
    # ``kept_before`` says whether an earlier operation keeps it, ``alive`` what is held meanwhile.
    # A weight that trains needs the layer's input, a frozen one does not.
    "linears": {
        "trains": "sum_trains",
        "saved": "sum_kept + T * width * where(full,"
        " where(autocast * (arrives == 4), 2 * count, (1 - kept_before) * arrives),"
        " (1 - kept_before) * (1 - copies_input) * 4 * (sum_adapted > 0))",
        "forward": "residual + sublayer_input + alive + product_bytes * T * max_d_out + max("
        # B's output, scaled and added in float32
        "where(autocast, 4 * T * width * (sum_adapted > 0), 8 * T * max_adapted_out),"
        # a 4-bit weight, dequantized in 16 bit (bnb.4bit); ours looks pairs of values up in
        # float32 (4 bytes a weight) by a 32-bit index (2), which PyTorch makes a 64-bit one (4)
        " quantized * where(peft, 2 * max_weight + 2 * T * (width + max_d_out), 10 * max_weight),"
        # IA³ multiplies in float32
        " T * max(4 * max_scaled_out, 6 * max_scaled_in),"
        " max_dense)",
        "backward": "stream_gradient + product_bytes * T * (incoming + width * (count > 1)) + max("
        # the gradient of the input through the base layer, and through an adapter without a copy
        "product_bytes * T * width * (1 + (sum_adapted > 0) * (1 - copies_input)),"
        # an adapter's gradients, in its own dtype
        " copies_input * adapter_product_bytes * T * (max_adapted_out + width * (sum_adapted > 0)),"
        " T * max(8 * max_scaled_out, 12 * max_scaled_in),"
        # a 4-bit weight dequantized once more
        " quantized * (product_bytes * T * width * (sum_adapted > 0) + where(peft,"
        " 2 * max_weight + 2 * T * (width + max_d_out), 10 * max_weight)),"
        " full * autocast * 2 * max_weight)",
    },
    # Qwen3 normalizes each head of the queries and keys.
    "head_norms": {
        "trains": "0",
        "saved": "qk_norm * T * (4 * (queries + keys + heads + kv_heads)"
        " + full * product_bytes * (queries + keys))",
        "forward": "qk_norm * (residual + sublayer_input + 8 * T * queries)",
        "backward": "qk_norm * (stream_gradient + 20 * T * queries)",
    },
    # Fused kernels (flash, cuDNN, memory-efficient) keep Q, K, V, the output and one float32 per
    # row and head; a mask of a prefix is converted to the keys' dtype and kept in each layer.
    # Step by step, the probabilities are kept, in eager attention twice (float32 and 16 bit), and
    # K and V repeated for every query head; the backward pass of the softmax needs three more
    # (PyTorch, SoftMax.cu: the gradient, its product with the probabilities, the result).
    "attention": {
        "trains": "prefix",
        "saved": "fused * (attention_bytes * (2 * T * queries"
        " + 2 * batch * key_length * where(prefix * grouped, queries, keys)"
        " + prefix * batch * length * key_length) + 4 * batch * heads * length)"
        " + unfused * 4 * (3 * T * queries + scores)"
        " + eager * (product_bytes * (T * queries + 2 * batch * key_length * queries)"
        " + scores * where(layer_norm, 2 * product_bytes + 1, where(product_bytes == 2, 6, 4)))",
        "forward": "residual + sublayer_input + where(fused, 3 * product_bytes * T * queries,"
        " product_bytes * scores)",
        "backward": "stream_gradient + where(fused,"
        " product_bytes * T * (2 * queries + 2 * keys + 2 * grouped * queries) + 4 * T * queries,"
        " where(product_bytes == 2, 10, 12) * scores)",
    },
    # act(gate) * up keeps gate, act(gate) and up.
    "gated_activation": {
        "trains": "0",
        "saved": "3 * product_bytes * T * intermediate",
        "forward": "residual + sublayer_input + product_bytes * T * intermediate",
        "backward": "stream_gradient + 3 * product_bytes * T * intermediate",
    },
    # GPT-2's GELU is written out: x, x/2, tanh(…) and 1 + tanh(…) are kept; the third power is
    # taken in float32 under autocast, and so is what follows from it.
    "gelu_steps": {
        "trains": "0",
        "saved": "where(autocast, 14, 4 * product_bytes) * T * intermediate",
        "forward": "where(autocast, 8, 2 * product_bytes) * T * intermediate",
        "backward": "stream_gradient + where(autocast, 12, 4 * product_bytes) * T * intermediate",
    },
    "gelu": {
        "trains": "0",
        "saved": "product_bytes * T * intermediate",
        "forward": "product_bytes * T * intermediate",
        "backward": "stream_gradient + 2 * product_bytes * T * intermediate",
    },
    # One byte per number says what was dropped.
    "dropout": {
        "trains": "0",
        "saved": "T * width",
        "forward": "2 * product_bytes * T * width",
        "backward": "stream_gradient + 2 * product_bytes * T * width",
    },
    # peftlab.methods.bottleneck: its input and its activation, and 16-bit copies of its weights.
    "bottleneck": {
        "trains": "adapter",
        "saved": "adapter * (adapter_product_bytes * T * (hidden + bottleneck)"
        " + autocast * 4 * hidden * bottleneck)",
        "forward": "adapter * 8 * T * hidden",
        "backward": "adapter * (stream_gradient + 8 * T * hidden)",
    },
}

# --- what is stored ------------------------------------------------------------------------------

# For each parameter of the model: numbers, copies (how many such tensors), in_linear (whether it
# is the weight or bias of a linear layer), packable (whether it may be in 4 bit), in_block.
PARAMETERS: dict[str, str] = {
    "parameters": "copies * numbers",
    "packed": "quantized * packable",
    "number_bytes": "where(in_linear * (1 - quantized), weight_bytes, other_bytes)",
    "stored": "where(packed, rounded(numbers / 2), rounded(numbers * number_bytes))",
    "weights": "copies * stored",
    # A float32 scale for each block; or one byte for it, a float32 scale for each 256 of those, and
    # their mean (qlora: Double Quantization). And the 16 values of the format (bnb.4bit).
    "blocks": "ceil(numbers / block_size)",
    "constants": "copies * packed * (512 + where(double_quantization,"
    " rounded(blocks) + rounded(4 * ceil(blocks / 256)) + 512, rounded(4 * blocks)))",
    "trained": "full * copies * numbers",
    "file_bytes": "full * copies * numbers * number_bytes",
    "gradients": "full * copies * stored",
    "block_gradients": "in_block * gradients / layers",
    "optimizer_states": "full * copies * states(numbers, number_bytes)",
    "paged": "full * copies * paged_states(numbers)",
}

# The parameters of each linear layer.
PARAMETERS_OF_LINEAR: dict[str, dict[str, str]] = {
    "weight": {"numbers": "d_in * d_out", "in_linear": "1", "packable": "1"},
    "bias": {
        "numbers": "d_out",
        "copies": "bias * copies",
        "in_linear": "1",
        "packable": "0",
    },
}

# For each tensor of an adapter, which is float32: numbers and copies.
ADAPTER_TENSORS: dict[str, str] = {
    "trained": "copies * numbers",
    "file_bytes": "4 * copies * numbers",
    "adapters": "copies * rounded(4 * numbers)",
    "gradients": "copies * rounded(4 * numbers)",
    "optimizer_states": "copies * states(numbers, 4)",
    "paged": "copies * paged_states(numbers)",
}

# The adapter's tensors of each linear layer: (copies, numbers).
ADAPTERS_OF_LINEAR: dict[str, tuple[str, str]] = {
    "A": ("low_rank * targeted * copies", "rank * d_in"),
    "B": ("low_rank * targeted * copies", "rank * d_out"),
    "magnitude": ("dora * targeted * copies", "d_out"),
    "scale of the output": ("ia3 * ia3_output * copies", "d_out"),
    "scale of the input": ("ia3 * ia3_input * copies", "d_in"),
    "offset of the bias": ("bitfit * bias * copies", "d_out"),
}

# And those of the model.
ADAPTERS_OF_MODEL: dict[str, tuple[str, str]] = {
    "prompt": ("prompt", "virtual_tokens * hidden"),
    "prefix": ("prefix", "virtual_tokens * 2 * layers * keys"),
    "W_down, W_up": ("2 * adapter * layers", "bottleneck * hidden"),
    "b_down": ("adapter * layers", "bottleneck"),
    "b_up": ("adapter * layers", "hidden"),
}

# --- totals --------------------------------------------------------------------------------------

# Evaluated last. Known by now: sums of the above over all their rows; block_saved, and
# first_block_saved, which leaves out what comes before anything that trains; and where a block's
# memory is highest, what is kept by then and the rest: forward_saved, forward_rest, backward_saved,
# backward_rest.
TOTALS: dict[str, str] = {
    "linear_parameters": "block_weights * layers",
    "head_parameters": "vocabulary * hidden",
    # cuBLAS takes a workspace for each thread that calls it, that of the forward and that of the
    # backward pass: 32 MiB on Hopper (PyTorch, aten/src/ATen/cuda/CublasHandlePool.cpp).
    "workspaces": "2 * 32 * 1048576",
    # Checkpointing makes the embeddings require a gradient (enable_input_require_grads).
    "block_inputs": "layers * stream_bytes * T * hidden",
    # The block's input is one of the tensors that the block itself keeps, where its first operation
    # keeps it as it is.
    "counted_twice": "checkpointing * stream_gradient * where(bert, full * (1 - autocast),"
    " where(gpt2, norm_bytes == stream_bytes, stream_bytes == 4))",
    "blocks_saved": "where(checkpointing, block_inputs,"
    " (layers - 1) * block_saved + first_block_saved)",
    "outside_saved": "where(layer_norm, T * hidden * (1 + norm_bytes), 4 * T * (hidden + 1))"
    " + full * (1 - layer_norm) * T * hidden * norm_bytes"
    " + bert * T * hidden * (2 * product_bytes + norm_bytes)",
    "head_input": "full * T * hidden * where(autocast, 2, norm_bytes)",
    "saved": "blocks_saved + outside_saved + head_input",
    # Autocast keeps a 16-bit copy of each weight that trains until it ends, and the backward pass
    # those that it needs.
    "copies_of_blocks": "full * autocast * 2 * linear_parameters",
    "copies_of_block": "full * autocast * 2 * block_weights",
    "copy_of_head": "full * autocast * 2 * head_parameters",
    "logits": "T * vocabulary",
    # Causal models convert the logits to float32 (loss). BERT's loss takes them as they are, and
    # its kernel converts under autocast.
    "loss_bytes": "where(bert * (1 - autocast), logits_bytes, 4)",
    "converted_bytes": "where(bert + (logits_bytes == 4), 0, 4)",
    "head_gradient": "full * rounded(other_bytes * head_parameters)",
    # torch's multi-tensor AdamW takes the roots of all second moments at once (adamw).
    "roots": "takes_roots * gradients",
    # peft hands a prefix over as keys and values of all layers, made of float32 ones.
    "prefix_keys": "prefix * batch * virtual_tokens * 2 * layers * keys * (4 + product_bytes)",
    # What does not change during a step.
    "fixed": "weights + constants + adapters + optimizer_states + workspaces",
}

# The moments of a step at which memory can be highest, and what is alive then beside what is fixed.
MOMENTS: dict[str, dict[str, str]] = {
    # the last block in the forward pass
    "forward": {
        "gradients": "0",
        "activations": "where(checkpointing, block_inputs,"
        " blocks_saved - block_saved + forward_saved)",
        "logits_and_loss": "0",
        "temporary": "forward_rest + copies_of_blocks + prefix_keys",
    },
    # the loss: logits, logits in float32, and their log-softmax (loss)
    "loss": {
        "gradients": "0",
        "activations": "saved",
        "logits_and_loss": "logits * (logits_bytes + converted_bytes + loss_bytes)",
        "temporary": "copies_of_blocks + copy_of_head + prefix_keys",
    },
    # its backward pass: log-softmax, the gradient of that, and that of the logits
    "backward of the loss": {
        "gradients": "0",
        "activations": "saved",
        "logits_and_loss": "logits * (2 * loss_bytes + where(bert, logits_bytes, loss_bytes))",
        "temporary": "where(checkpointing, 0, copies_of_blocks) + copy_of_head + prefix_keys",
    },
    # the gradient of the logits, the output head's, and under autocast that one in 16 bit first
    "backward of the head": {
        "gradients": "head_gradient",
        "activations": "saved",
        "logits_and_loss": "logits * logits_bytes",
        "temporary": "where(checkpointing, 0, copies_of_blocks) + 2 * copy_of_head"
        " + stream_gradient + prefix_keys",
    },
    # the last norm, as in a block (OPERATIONS)
    "backward of the last norm": {
        "gradients": "head_gradient",
        "activations": "saved - head_input",
        "logits_and_loss": "0",
        "temporary": "where(layer_norm, 2 * norm_bytes, 20) * T * hidden"
        " + where(checkpointing, 0, copies_of_blocks) + prefix_keys",
    },
    # a checkpointed block, computed again
    "last block again": {
        "gradients": "head_gradient",
        "activations": "checkpointing * (block_inputs + forward_saved - counted_twice)",
        "logits_and_loss": "0",
        "temporary": "checkpointing * (forward_rest + stream_gradient + copies_of_block)",
    },
    "backward of the last block": {
        "gradients": "head_gradient",
        "activations": "where(checkpointing, block_inputs, blocks_saved - block_saved)"
        " + backward_saved - counted_twice",
        "logits_and_loss": "0",
        "temporary": "backward_rest + where(checkpointing, copies_of_block, copies_of_blocks)"
        " + prefix_keys",
    },
    # by now the gradients of all other blocks are there
    "backward of the first block": {
        "gradients": "where(full, head_gradient + (layers - 1) * block_gradients, gradients)",
        "activations": "where(checkpointing, stream_gradient - counted_twice, 0) + backward_saved",
        "logits_and_loss": "0",
        "temporary": "backward_rest + copies_of_block + prefix_keys",
    },
    # A tied embedding has two gradients, the head's and its own, and for a moment their sum.
    "backward of the embedding": {
        "gradients": "gradients",
        "activations": "0",
        "logits_and_loss": "0",
        "temporary": "2 * full * tied * head_gradient + stream_gradient",
    },
    "optimizer step": {
        "gradients": "gradients",
        "activations": "0",
        "logits_and_loss": "0",
        "temporary": "roots",
    },
}

# --- arithmetic ----------------------------------------------------------------------------------

# Floating-point operations of a step, a product and a sum counting as two. The backward pass of a
# product is two products, of which a frozen weight needs one; checkpointing computes the blocks
# again. Norms, activations and the softmax are left out, and masked-out attention is counted.
FLOPS: dict[str, str] = {
    "flops_blocks": "2 * T * linear_parameters + 4 * layers * scores * head_dim",
    "flops_head": "2 * T * head_parameters",
    "flops_adapters": "(1 - full) * (1 - prompt) * (1 - prefix) * 2 * T * trained",
    "flops": "flops_blocks * (2 + checkpointing) + flops_head * 2"
    " + flops_adapters * (3 + checkpointing)"
    " + full * (2 * T * (linear_parameters + head_parameters) + 4 * layers * scores * head_dim)"
    " + (1 - full) * 4 * layers * scores * head_dim",
}
