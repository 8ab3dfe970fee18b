"""Writes bleu.json: texts and what sacrebleu makes of them, for test/bleu.test.ts.

    pip install sacrebleu==2.6.0
    python test/golden/make_bleu.py      (with the packages of package.json installed)

The real texts are messages of the TypeScript compiler in French, German and Chinese, the references; hypotheses are
the same with words lost, doubled, swapped or taken from the next message. Each case has one entry a line.
"""

import json
import pathlib
import random

from sacrebleu.metrics import BLEU, CHRF

here = pathlib.Path(__file__).parent
messages = here.parents[1] / "node_modules" / "typescript-messages" / "lib"
random.seed(1)


def real(language, count=40):
    texts = list(json.loads((messages / language / "diagnosticMessages.generated.json").read_text()).values())
    chosen = random.sample(texts, count + 1)
    return [(damaged(text, other, language), [text]) for text, other in zip(chosen, chosen[1:])]


def damaged(text, other, language):
    gap = "" if language.startswith("zh") else " "
    words, others = (list(t) if gap == "" else t.split(" ") for t in (text, other))
    for _ in range(random.randint(0, 4)):
        i = random.randrange(len(words))
        kind = random.choice(["lost", "doubled", "swapped", "other"])
        if kind == "lost" and len(words) > 1:
            del words[i]
        elif kind == "doubled":
            words.insert(i, words[i])
        elif kind == "swapped":
            j = random.randrange(len(words))
            words[i], words[j] = words[j], words[i]
        else:
            words[i] = random.choice(others)
    return gap.join(words)


hostile = [
    ("", [""]),
    ("", ["the cat sat"]),
    ("the cat sat", [""]),
    ("   \t\n ", ["\u3000\u00a0"]),
    ("the", ["the"]),
    ("the the the the the the the", ["the cat is on the mat", "there is a cat on the mat"]),
    ("a b c d", ["w x y z"]),
    ("a x b y", ["a b c d"]),
    ("the cat sat on mat", ["the cat sat on the mat"]),
    ("the cat", ["the cat sat on the mat", "the", "a cat"]),
    ("one two three", ["one two", "one two three four"]),
    ("It costs $1,234.56 (10.5%), e.g. 3-4 or x-y.", ["It costs $ 1,234.56 ( 10.5 % ), eg. 3 - 4 or x-y ."]),
    ("a.b,c. 1.a a.1 1,b .5 5. ...,,,", ["a . b , c . 1 . a a . 1 1 , b .5 5. ... , , ,"]),
    ("&quot;Tom &amp; Jerry&quot; &lt;skipped&gt; &amp;lt; &apos;", ["\"Tom & Jerry\" <skipped> < &apos;"]),
    ("a<skipped>b -\nc hyphen-\nated line\nbreak", ["ab c hyphenated line break"]),
    ("trailing   spaces  \u2003 \u0085\u001c", ["trailing spaces"]),
    ("byte \ufeff order \u200b marks\u2028split\u2029here", ["byte order marks split here"]),
    ("emoji 😀. 😀,1 👩‍👩‍👧 e\u0301 é", ["emoji 😀 . 😀 ,1 👩‍👩‍👧 é é"]),
    ("“{0}”修饰符不能与导入声明一起使用。", ["“{0}” 修饰符 不能与导入声明 一起使用。"]),
    ("𠀀𠀁汉字 ABC。１２３ ⽂ ｱｲｳ 、 ⼀", ["𠀀𠀁 汉字ABC 。１２３⽂ｱｲｳ、⼀"]),
    ("‘quotes’ — dashes – … ①②③ ☃ ✓ →", ["‘ quotes ’ — dashes–… ①②③☃✓→"]),
    ("Тип \"{0}\" не может, 3.5-й", ["Тип \"{0}\" не может быть , 3.5 - й"]),
    ("constructor __proto__ toString hasOwnProperty", ["constructor __proto__ toString valueOf"]),
    ("{a}~|[b]`^_\\!#%&()*+/:;<=>?@'c'-d", ["{ a } ~ | [ b ] ` ^ _ \\ ! # % & ( ) * + / : ; < = > ? @ 'c' - d"]),
    ("12-34 5-a a-5 -6 7-", ["12 -34 5 - a a-5 -6 7 -"]),
]

groups = {
    "fr": real("fr"),
    "de": real("de"),
    "zh-cn": real("zh-cn"),
    "hostile": hostile,
    **{f"hostile {i}": [case] for i, case in enumerate(hostile)},
}


def scores(pairs):
    hypotheses = [hypothesis for hypothesis, _ in pairs]
    most = max(len(references) for _, references in pairs)
    streams = [[refs[i] if i < len(refs) else None for _, refs in pairs] for i in range(most)]
    result = {"chrF": CHRF().corpus_score(hypotheses, streams).score}
    for tokenizer in ["13a", "zh", "char", "none"]:
        for effective in [False, True]:
            s = BLEU(tokenize=tokenizer, effective_order=effective).corpus_score(hypotheses, streams)
            result[f"{tokenizer}{' effective' if effective else ''}"] = {
                "score": s.score,
                "precisions": s.precisions,
                "counts": s.counts,
                "totals": s.totals,
                "brevityPenalty": s.bp,
                "hypothesisLength": s.sys_len,
                "referenceLength": s.ref_len,
            }
    return result


lines = [
    json.dumps({"name": name, "pairs": pairs, "scores": scores(pairs)}, ensure_ascii=True)
    for name, pairs in groups.items()
]
(here / "bleu.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
