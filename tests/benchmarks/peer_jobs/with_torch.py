"""The same network and rows in torch's `nn.LSTM`; trains on request, so that its runs alternate with ours.

Reads one JSON object a line from standard input and answers each with one; needs torch and numpy alone. What makes
torch faster on a CPU and leaves the network as it is, is on: inputs gathered from the panel by index, one dropout mask
for all steps (as Keras has it), oneDNN's kernels, loss of logits, the fused Adam.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch import nn


class StackedLSTM(nn.Module):
    """Recurrent layers, ticker embedding and month one-hot into a dense layer and one logit."""

    def __init__(self, units: list[int], embedding: int, dense: int, dropout: float, categories: int, features: int):
        super().__init__()
        inputs = [features, *units[:-1]]
        self.recurrent = nn.ModuleList(nn.LSTM(i, u) for i, u in zip(inputs, units, strict=True))
        self.embedding = nn.Embedding(categories, embedding)
        self.dense = nn.Linear(units[-1] + embedding + 12, dense)
        self.logit = nn.Linear(dense, 1)
        self.dropout = dropout

    def forward(self, sequence: torch.Tensor, category: torch.Tensor, month: torch.Tensor) -> torch.Tensor:
        """Logit of each row; `sequence` has shape (steps, batch, features)."""
        hidden = sequence
        for number, layer in enumerate(self.recurrent):
            if number:
                hidden = hidden * nn.functional.dropout(hidden.new_ones(1, *hidden.shape[1:]), self.dropout)
            hidden, _ = layer(hidden)
        joined = torch.cat([hidden[-1], self.embedding(category), month], dim=1)
        return self.logit(self.dense(joined))[:, 0]


class Job:
    """The rows, and a network for each batch size, which is trained on request."""

    def __init__(self, path: str) -> None:
        with np.load(path) as arrays:
            at = {name: arrays[name] for name in arrays.files}
        self.size = json.loads(str(at["network"]))
        self.windows = torch.from_numpy(at["panel"]).unfold(1, self.size.pop("lookback"), 1)
        self.learning_rate = self.size.pop("learning_rate")
        whole = {name: torch.from_numpy(at[name].astype(np.int64)) for name in ("ticker", "start", "category", "month")}
        self.ticker, self.start, self.category, self.month = whole.values()
        self.label = torch.from_numpy(at["label"])
        self.one_hot = torch.eye(12)
        self.networks: dict[int, tuple[StackedLSTM, torch.optim.Adam]] = {}

    def network(self, batch: int) -> tuple[StackedLSTM, torch.optim.Adam]:
        """Network and optimizer of a batch size, created on first use."""
        if batch not in self.networks:
            torch.manual_seed(0)
            made = StackedLSTM(**self.size)
            self.networks[batch] = made, torch.optim.Adam(made.parameters(), self.learning_rate, fused=True)
        return self.networks[batch]

    def train(self, batch: int, epochs: int) -> dict[str, float]:
        """Train some epochs on all rows: CPU seconds, and the mean loss of the last epoch."""
        network, optimizer = self.network(batch)
        total = 0.0
        began = time.process_time()
        for _ in range(epochs):
            total = 0.0
            for rows in torch.randperm(len(self.label)).split(batch):
                # (batch, features, steps) -> (steps, batch, features)
                sequence = self.windows[self.ticker[rows], self.start[rows]].permute(2, 0, 1).contiguous()
                output = network(sequence, self.category[rows], self.one_hot[self.month[rows]])
                loss = nn.functional.binary_cross_entropy_with_logits(output, self.label[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(rows)
        return {"seconds": time.process_time() - began, "loss": total / len(self.label)}


def main() -> None:
    """Print the version, then answer requests until the input ends."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    job = Job(sys.argv[1])
    print(json.dumps({"version": torch.__version__.split("+")[0]}), flush=True)
    for line in sys.stdin:
        print(json.dumps(job.train(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
