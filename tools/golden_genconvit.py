"""Writes trainer/tests/golden/genconvit.json: GenConViT by PyTorch alone, on weights and pictures from a formula.

The network is ours (docs/genconvit.md), so there is no other implementation to compare with; this one is written from
the block table, on PyTorch's own layers and layout, and shares nothing with the trainer but the tensors' names.

    python3 -m venv venv && venv/bin/pip install torch
    venv/bin/python tools/golden_genconvit.py
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F
from formula import fill, pictures
from torch import nn

# Maps of 24, 12, 6 and 3: several windows, and windows smaller than the largest ones.
SIZE = 96
PRESETS = {
    "genconvit": dict(
        convolution=[(2, 48), (2, 96), (6, 192), (2, 384)],
        windows=[(2, 32), (2, 64), (6, 128), (2, 256)],
        head=32,
        autoencoder=[16, 32, 64, 128, 256],
        variational=[16, 32, 64, 128],
        latent=64,
    ),
    "genconvit-tiny": dict(
        convolution=[(1, 32), (1, 64), (3, 128), (1, 256)],
        windows=[(2, 16), (2, 32), (2, 64), (2, 128)],
        head=16,
        autoencoder=[8, 16, 32, 64, 128],
        variational=[8, 16, 32, 64],
        latent=32,
    ),
}
LARGEST_WINDOW = 8


class ConvNorm(nn.Module):
    def __init__(self, cin, cout, kernel=1, stride=1, padding=0, groups=1, relu=False, transposed=False):
        super().__init__()
        if transposed:
            self.conv = nn.ConvTranspose2d(cin, cout, kernel, stride, bias=False)
        else:
            self.conv = nn.Conv2d(cin, cout, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)
        self.relu = relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x.relu() if self.relu else x


class ConvBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dw = ConvNorm(channels, channels, 7, padding=3, groups=channels)
        self.expand = ConvNorm(channels, 4 * channels, relu=True)
        self.project = ConvNorm(4 * channels, channels)

    def forward(self, x):
        return x + self.project(self.expand(self.dw(x)))


class PositionBias(nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.position_bias = nn.Parameter(torch.zeros(heads, (2 * LARGEST_WINDOW - 1) ** 2))

    def forward(self, side):
        table = self.position_bias.view(-1, 2 * LARGEST_WINDOW - 1, 2 * LARGEST_WINDOW - 1)
        bias = torch.empty(len(table), side * side, side * side)
        for query in range(side * side):
            for key in range(side * side):
                down = query // side - key // side
                right = query % side - key % side
                bias[:, query, key] = table[:, LARGEST_WINDOW - 1 + down, LARGEST_WINDOW - 1 + right]
        return bias


class WindowBlock(nn.Module):
    def __init__(self, channels, head, strided):
        super().__init__()
        self.heads = channels // head
        self.strided = strided
        self.query = ConvNorm(channels, channels)
        self.key = ConvNorm(channels, channels)
        self.value = ConvNorm(channels, channels)
        self.attention = PositionBias(self.heads)
        self.output = ConvNorm(channels, channels)
        self.expand = ConvNorm(channels, 4 * channels, relu=True)
        self.project = ConvNorm(4 * channels, channels)

    def slices(self, extent, side):
        """Index ranges of the windows along one axis."""
        count = extent // side
        if self.strided:
            return [slice(first, None, count) for first in range(count)]
        return [slice(first * side, (first + 1) * side) for first in range(count)]

    def forward(self, x):
        q, k, v = self.query(x), self.key(x), self.value(x)
        n, c, extent, _ = x.shape
        side = max(s for s in range(1, LARGEST_WINDOW + 1) if extent % s == 0)
        seen = torch.empty_like(x)
        bias = self.attention(side)
        for rows in self.slices(extent, side):
            for columns in self.slices(extent, side):
                heads = [
                    t[:, :, rows, columns].reshape(n, self.heads, c // self.heads, side * side).transpose(2, 3)
                    for t in (q, k, v)
                ]
                out = F.scaled_dot_product_attention(*heads, attn_mask=bias)
                seen[:, :, rows, columns] = out.transpose(2, 3).reshape(n, c, side, side)
        x = x + self.output(seen)
        return x + self.project(self.expand(x))


def stages(rows, block):
    modules, channels = nn.ModuleList(), rows[0][1]
    for number, (count, width) in enumerate(rows):
        stage = nn.Module()
        if number:
            stage.down = ConvNorm(channels, width, 2, 2)
        stage.blocks = nn.Sequential(*(block(width, index) for index in range(count)))
        modules.append(stage)
        channels = width
    return modules


def walk(stage, x):
    return stage.blocks(stage.down(x) if hasattr(stage, "down") else x)


class Windows(nn.Module):
    def __init__(self, cin, rows, head):
        super().__init__()
        self.embed = ConvNorm(cin, rows[0][1])
        self.stages = stages(rows, lambda width, index: WindowBlock(width, head, strided=index % 2 == 1))

    def forward(self, x):
        x = self.embed(x)
        for stage in self.stages:
            x = walk(stage, x)
        return x.mean((2, 3))


class Trunk(nn.Module):
    def __init__(self, convolution, windows, head):
        super().__init__()
        self.stem = ConvNorm(3, convolution[0][1], 4, 4)
        self.stages = stages(convolution, lambda width, _: ConvBlock(width))
        self.windows = Windows(convolution[0][1], windows, head)

    def forward(self, x):
        x = walk(self.stages[0], self.stem(x))
        attended = self.windows(x)
        for stage in self.stages[1:]:
            x = walk(stage, x)
        return torch.cat([x.mean((2, 3)), attended], 1)


def encoder(channels):
    pairs = zip([3, *channels], channels)
    return nn.Sequential(*(ConvNorm(cin, cout, 3, 2, padding=1, relu=True) for cin, cout in pairs))


def decoder(code, channels):
    widths = [*channels[-2::-1], 3]
    pairs = list(zip([code, *widths], widths))
    return nn.Sequential(
        *(ConvNorm(cin, cout, 2, 2, relu=i < len(pairs) - 1, transposed=True) for i, (cin, cout) in enumerate(pairs))
    )


class Autoencoder(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.encoder = encoder(channels)
        self.decoder = decoder(channels[-1], channels)

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Variational(nn.Module):
    def __init__(self, channels, latent):
        super().__init__()
        self.encoder = encoder(channels)
        self.latent = nn.ModuleDict(
            {"mean": nn.Conv2d(channels[-1], latent, 1), "log_variance": nn.Conv2d(channels[-1], latent, 1)}
        )
        self.decoder = decoder(latent, channels)

    def forward(self, x):
        """The copy without noise, mean and log-variance."""
        code = self.encoder(x)
        mean = self.latent["mean"](code)
        return self.decoder(mean), mean, self.latent["log_variance"](code)


class GenConViT(nn.Module):
    def __init__(self, convolution, windows, head, autoencoder, variational, latent):
        super().__init__()
        self.autoencoder = Autoencoder(autoencoder)
        self.variational = Variational(variational, latent)
        self.trunk = Trunk(convolution, windows, head)
        self.classifier = nn.Linear(3 * (convolution[-1][1] + windows[-1][1]), 1)

    def forward(self, x):
        copy = self.autoencoder(x)
        variational_copy, mean, log_variance = self.variational(x)
        # One pass over all, so that batch norm sees them together in training.
        views = self.trunk(torch.cat([x, copy, variational_copy])).chunk(3)
        logits = self.classifier(torch.cat(views, 1)).flatten()
        reconstruction = F.mse_loss(copy, x) + F.mse_loss(variational_copy, x)
        kl = -0.5 * torch.mean(1 + log_variance - mean**2 - log_variance.exp())
        return logits, reconstruction, kl


def multiply_adds(network, size):
    """Of one picture, in millions: convolutions, linear layers and the products of attention."""
    count = 0

    def add(module, inputs, output):
        nonlocal count
        x, *_ = inputs
        if isinstance(module, WindowBlock):
            n, c, extent, _ = x.shape
            side = max(s for s in range(1, LARGEST_WINDOW + 1) if extent % s == 0)
            count += 2 * n * c * extent**2 * side**2
        elif isinstance(module, nn.ConvTranspose2d):
            count += x.numel() * module.weight[0].numel()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            count += output.numel() * module.weight[0].numel()

    hooks = [module.register_forward_hook(add) for module in network.modules()]
    with torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return round(count / 1e6)


cases = []
for preset, config in PRESETS.items():
    network = GenConViT(**config).eval()
    tensors = fill(network)
    with torch.no_grad():
        logits = network(pictures(SIZE))[0].tolist()
        learned = network.train()(pictures(SIZE))
    assert abs(logits[0] - logits[1]) > 1e-2, (preset, logits)
    parameters = sum(p.numel() for p in network.parameters())
    case = {"preset": preset, "size": SIZE, "parameters": parameters, "tensors": tensors, "logits": logits}
    # The same in training, where batch norm goes by the batch, but without the latent's noise.
    names = ("training_logits", "reconstruction", "kl")
    case |= {name: term.tolist() for name, term in zip(names, learned)}
    assert all(math.isfinite(case[name]) for name in names[1:])
    cases.append(case)
    print(case)
    # What docs/genconvit.md says of it.
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    parts["trunk's windows"] = sum(p.numel() for p in network.trunk.windows.parameters())
    print(parts, {size: multiply_adds(network.eval(), size) for size in (128, 224, 256)})

golden = pathlib.Path(__file__).resolve().parent.parent / "trainer/tests/golden/genconvit.json"
golden.write_text(json.dumps({"torch": torch.__version__, "cases": cases}, indent=1) + "\n")
