"""A sentiment classifier that packs its padded texts, and ends in a softmax."""

from torch import nn


class SentimentLSTM(nn.Module):
    def __init__(self, vocab_size, embedding_dim=16, hidden_dim=16, output_dim=2):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden_dim, output_dim)

    def forward(self, text, text_lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(text), text_lengths, batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.lstm(packed)
        return self.fc(hidden.transpose(0, 1).flatten(1)).softmax(-1)
