"""What Hugging Face's trainers make of the Brown corpus and of hostile text.

    python test/golden/make_tokenizer_training.py      (tokenizers 0.23.2; node for the corpus)

brown_tokenizers.json      vocabularies of 4,000 of the corpus, and how many tokens its held-out part has
hostile_tokenizers.json    texts of many scripts, spaces and control characters; vocabularies with other options, and the
                           words that normalizers and pre-tokenizers make of them
"""

import json
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from tokenizers import pre_tokenizers, trainers
from tokenizers.implementations import (
    BertWordPieceTokenizer,
    ByteLevelBPETokenizer,
    SentencePieceUnigramTokenizer,
)

HERE = Path(__file__).parent


def write(name: str, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) < 200_000, (name, len(text))
    (HERE / name).write_text(text + "\n", encoding="utf-8")


def tokens_by_id(tokenizer) -> list[str]:
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.get)


def bpe(texts: list[str], vocab_size: int, add_prefix_space: bool = False, **options) -> dict:
    tokenizer = ByteLevelBPETokenizer(add_prefix_space=add_prefix_space)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        **{"min_frequency": 2, **options},
    )
    tokenizer._tokenizer.train_from_iterator(texts, trainer=trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [[model["vocab"][left], model["vocab"][right]] for left, right in model["merges"]]
    return {"tokens": tokens_by_id(tokenizer), "merges": merges}


def brown() -> None:
    with tempfile.TemporaryDirectory() as folder:
        script = HERE.parent.parent / "scripts" / "brown.mjs"
        subprocess.run(["node", str(script), "--out", folder], check=True)
        train = Path(folder, "brown-train.txt").read_text().splitlines(keepends=True)
        held_out = Path(folder, "brown-heldout.txt").read_text().split("\n")

    def length(tokenizer) -> int:
        return sum(len(encoding.ids) for encoding in tokenizer._tokenizer.encode_batch(held_out))

    result = {"bpe": bpe(train, 4000)}
    wordpiece = BertWordPieceTokenizer()
    wordpiece.train_from_iterator(train, vocab_size=4000, show_progress=False)
    result["wordpiece"] = {"tokens": sorted(wordpiece.get_vocab()), "heldOut": length(wordpiece)}
    unigram = SentencePieceUnigramTokenizer()
    unigram.train_from_iterator(train, vocab_size=4000, unk_token="<unk>", show_progress=False)
    result["unigram"] = {"tokens": tokens_by_id(unigram), "heldOut": length(unigram)}
    write("brown_tokenizers.json", result)


POOLS = [
    [chr(c) for c in range(0x20, 0x7F)],
    list(" \t\n\r\x0b\x0c\x1c\x85\u00a0\u1680\u2003\u2028\u202f\u3000\u200b\ufeff\x00\x01"),
    [chr(c) for c in range(0xA1, 0x250, 5)],
    [chr(c) for c in range(0x386, 0x3D0, 3)],
    [chr(c) for c in range(0x600, 0x660, 5)],
    [chr(c) for c in range(0x900, 0x980, 7)],
    [chr(c) for c in range(0x4E00, 0x4E18)],
    [chr(c) for c in range(0xAC00, 0xAC10)],
    [chr(c) for c in range(0x1F600, 0x1F610)],
    [chr(c) for c in range(0x300, 0x320, 3)],
    list("'stmd'revell"),
    list("0123456789\u0661\u00b2\u2160\u00bd"),
    list("aaab"),
    list("\ufdfa\ufb01\u2126\u212b\u00a8\u2581\ufffd\ue000\U000e0001\u200d\u0130\u03a3"),
    list("  '"),
]


def hostile_text(generator: random.Random) -> str:
    text = ""
    for _ in range(generator.randint(0, 12)):
        pool = generator.choice(POOLS)
        text += "".join(generator.choice(pool) for _ in range(generator.choice([1, 1, 2, 3, 5, 8])))
        if generator.random() < 0.4:
            text += " " * generator.choice([1, 1, 1, 2, 3])
    if generator.random() < 0.1:
        text += "x" * generator.randint(0, 40) + "ab" * generator.randint(0, 20)
    return text


def words(tokenizer, texts: list[str]) -> dict[str, int]:
    counts = Counter()
    for text in texts:
        normalized = tokenizer.normalizer.normalize_str(text)
        counts.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized))
    return dict(sorted(counts.items()))


def hostile() -> None:
    generator = random.Random(7)
    texts = [hostile_text(generator) for _ in range(400)] + ["", " ", "\n", " \n", "\x01", " \x01", "a\u00a0 b"]
    cases = [
        {"vocabSize": 900},
        {"vocabSize": 700, "addPrefixSpace": True, "minFrequency": 5},
        {"vocabSize": 700, "maxTokenLength": 5, "specialTokens": ["<s>", "ab", "aa"]},
    ]
    names = {
        "vocabSize": "vocab_size",
        "addPrefixSpace": "add_prefix_space",
        "minFrequency": "min_frequency",
        "maxTokenLength": "max_token_length",
        "specialTokens": "special_tokens",
    }
    write(
        "hostile_tokenizers.json",
        {
            "texts": texts,
            "bpe": [
                {"options": case, **bpe(texts, **{names[name]: value for name, value in case.items()})}
                for case in cases
            ],
            "bertWords": words(BertWordPieceTokenizer(), texts),
            "unigramWords": words(SentencePieceUnigramTokenizer(), texts),
        },
    )


if __name__ == "__main__":
    hostile()
    brown()
