"""What words of a search mean besides themselves: labels of kinds and capabilities in every language, names of makers.

The labels are those that pages show, so a search finds what a person has read. They need no rows: a new translation
changes searches at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cached_property
from typing import Final

from django.conf import settings
from django.utils.translation import override

from catalog.capabilities import WORDS
from catalog.modes import MODES

# How makers and their families are called in Chinese, and the words of models by them. Each is the name that the maker
# itself uses: 通义千问 on tongyi.aliyun.com, 智谱 on zhipuai.cn, 月之暗面 on moonshot.cn, 深度求索 on deepseek.com,
# 豆包 and 字节跳动 on volcengine.com, 文心 and 百度 on yiyan.baidu.com, 混元 and 腾讯 on hunyuan.tencent.com,
# 百川 on baichuan-ai.com, 零一万物 on lingyiwanwu.com, 阶跃星辰 on stepfun.com, 书生 on internlm.org.cn, and of the
# others on their sites in Chinese.
MAKERS: Final[dict[str, tuple[str, ...]]] = {
    "通义千问": ("qwen",),
    "通义": ("qwen", "alibaba"),
    "千问": ("qwen",),
    "阿里": ("alibaba", "qwen", "dashscope"),
    "阿里云": ("alibaba", "qwen", "dashscope"),
    "阿里巴巴": ("alibaba", "qwen", "dashscope"),
    "智谱": ("glm", "zhipu", "zai", "z.ai"),
    "智谱清言": ("glm", "zhipu", "zai", "z.ai"),
    "月之暗面": ("moonshot", "kimi"),
    "深度求索": ("deepseek",),
    "字节": ("bytedance", "doubao", "volcengine"),
    "字节跳动": ("bytedance", "doubao", "volcengine"),
    "豆包": ("doubao", "bytedance"),
    "火山引擎": ("volcengine",),
    "百度": ("baidu", "ernie"),
    "文心": ("ernie",),
    "文心一言": ("ernie",),
    "腾讯": ("tencent", "hunyuan"),
    "混元": ("hunyuan",),
    "百川": ("baichuan",),
    "零一万物": ("yi", "01"),
    "阶跃星辰": ("stepfun", "step"),
    "书生": ("internlm", "internvl"),
    "小米": ("xiaomi", "mimo"),
    "谷歌": ("google", "gemini", "gemma"),
    "微软": ("microsoft", "phi"),
    "英伟达": ("nvidia", "nemotron"),
    "亚马逊": ("amazon", "nova"),
}
# Other usual words for what our labels call 图片生成, 对话 and so on; tsqueries.
SYNONYMS: Final[dict[str, str]] = {
    "图像生成": "'image' & 'generation'",
    "文生图": "'image' & 'generation'",
    "图像编辑": "'image' & 'edit'",
    "视频生成": "'video' & 'generation'",
    "文生视频": "'video' & 'generation'",
    "聊天": "'chat'",
    "对话": "'chat'",
    "向量": "'embedding'",
    "嵌入": "'embedding'",
    "重排": "'rerank'",
    "重排序": "'rerank'",
    "推理": "'reasoning'",
    "多模态": "'vision'",
    "语音合成": "'audio' & 'speech'",
    "语音识别": "'audio' & 'transcription'",
    "工具调用": "'function' & 'calling'",
    "函数调用": "'function' & 'calling'",
}

# As in the database's function catalog_model_words.
CHINESE: Final = "[\u3400-\u9fff]"


class Terms:
    """Terms and the tsqueries that they mean. Built when first used, because it asks for every translation."""

    @cached_property
    def _meanings(self) -> dict[str, set[str]]:
        """By label or name in lower case: tsqueries of which any will do."""
        meanings = {name: {f"'{word}'" for word in words} for name, words in MAKERS.items()}
        for name, meant in SYNONYMS.items():
            meanings.setdefault(name, set()).add(meant)
        labels = dict(MODES) | {flag: word for flag, (word, _icon) in WORDS.items()}
        for language, _name in settings.LANGUAGES:
            with override(language):
                for key, label in labels.items():
                    meant = " & ".join(f"'{word}'" for word in key.split("_"))
                    shown = str(label).lower()
                    # Of "PDF 输入", the Chinese part is searched as a word of its own.
                    for term in {shown, *re.findall(f"{CHINESE}+", shown)}:
                        meanings.setdefault(term, set()).add(meant)
        return meanings

    @cached_property
    def _by_word(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for label, meant in self._meanings.items():
            for word in re.findall(r"[a-z0-9]+", label):
                found.setdefault(word, set()).update(meant)
        return found

    def meant_by_word(self, word: str) -> Collection[str]:
        """What a whole word of a label means: "calls" is a word of "Tool calls". Empty for any other word."""
        return sorted(self._by_word.get(word, ()))

    def at_the_beginning_of(self, text: str) -> tuple[str, str]:
        """The longest term with which `text` begins, and its meaning as a tsquery; empty if there is none.

        A text that is itself the beginning of terms ("图像" of "图像生成") means any of those.
        """
        for end in range(len(text), 0, -1):
            if meant := self._meanings.get(text[:end]):
                break
            if end == len(text):
                begun = [
                    one for term, some in self._meanings.items() if term.startswith(text) for one in some
                ]
                if begun:
                    return text, _any_of(begun)
        else:
            return "", ""
        return text[:end], _any_of(meant)


def _any_of(queries: Collection[str]) -> str:
    return " | ".join(f"({query})" for query in sorted(set(queries)))


TERMS: Final = Terms()
