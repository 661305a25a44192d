#!/usr/bin/env python3
"""Writes the vectors of spec/09-models.md beside this file: what templates make of conversations, by Jinja 2 itself, set up as
the `transformers` library does it; and which text and end an answer has whose tokens are bytes. Needs the package `jinja2`."""

import codecs
import pathlib
import sys

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import write

# ---- templates (MO-3) -----------------------------------------------------------------------------------------------


def raise_exception(why):
    raise jinja2.exceptions.TemplateError(why)


class Strict(jinja2.Undefined):
    """May be tested, and asked for an attribute that it does not have; printing it is an error."""

    __str__ = jinja2.Undefined._fail_with_undefined_error
    __iter__ = jinja2.Undefined._fail_with_undefined_error


ENVIRONMENT = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, undefined=Strict, extensions=["jinja2.ext.loopcontrols"])
ENVIRONMENT.globals["raise_exception"] = raise_exception

CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
ALTERNATING = """{% if messages[0]['role'] == 'system' %}
    {% set system = messages[0].content | trim %}
    {% set rest = messages[1:] %}
{% else %}
    {% set system = '' %}
    {% set rest = messages %}
{% endif %}
{% for message in rest %}
    {% if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate') }}
    {% endif %}
    {% if loop.first and system %}
<s>[SYS]{{ system }}[/SYS]
    {% endif %}
<{{ message.role }}>{{ message.content.strip() }}{% if not loop.last %}</s>{% endif %}

{% endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}
"""
TINY = ("{% for message in messages %}{% if loop.last %}<|begin|><|user|>{{ message.content }}<|assistant|>"
        "{% endif %}{% endfor %}")
COUNTED = "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ loop.index }}:{{ m.content | length }} {% endfor %}"
MACRO = ("{%- macro turn(m) -%}[{{ m.role | upper }}] {{ m.content.replace('\n', ' ').rstrip() }}{%- endmacro -%}"
         "{%- for m in messages -%}{{ turn(m) }}{{ '\n' if not loop.last }}{%- endfor -%}"
         "{%- set ns = namespace(users=0) -%}{%- for m in messages -%}{%- if m.role == 'user' -%}"
         "{%- set ns.users = ns.users + 1 -%}{%- endif -%}{%- endfor %} ({{ ns.users }})")
TESTED = "{% if tools is defined %}tools{% else %}none{% endif %}{% if bos_token %}{{ bos_token }}{% endif %}{{ messages[-1].content }}"


def said(*turns):
    return [{"role": role, "content": content} for role, content in turns]


BRIEF = said(("system", "be brief "), ("user", " hello \n"), ("assistant", "hi"), ("user", "2 < 3 & \"4\"?"))
ONE = said(("user", "Maulbeere für 🐛\r\n\tnow"))
CASES = [
    ("messages between marks", CHATML, BRIEF), ("one message between marks", CHATML, ONE),
    ("blocks leave no line of their own", ALTERNATING, BRIEF), ("without a system message", ALTERNATING, ONE),
    ("a conversation that the template refuses", ALTERNATING, said(("user", "a"), ("user", "b"))),
    ("only the last message", TINY, BRIEF), ("loop controls and filters", COUNTED, BRIEF),
    ("macros, namespaces and methods of strings", MACRO, BRIEF), ("what is not there may be asked for", TESTED, ONE),
    ("what is not there cannot be printed", "{{ bos_token }}{{ messages[0].content }}", ONE),
    ("an attribute that is not there cannot be printed", "{{ messages[0].name }}", ONE),
    ("nothing is escaped", "{{ messages[0].content }}", said(("user", "<b>&\"'</b>"))),
    ("a template in a message is text", "{{ messages[0].content }}", said(("user", "{{ 1 + 1 }}{% raw %}"))),
    ("one newline at the end of a template is dropped", "{{ messages[0].content }}\n\n", said(("user", "a"))),
    ("always a new turn", "{{ add_generation_prompt }}", ONE),
]


def rendered(template, messages):
    try:
        return ENVIRONMENT.from_string(template).render(messages=messages, add_generation_prompt=True)
    except jinja2.exceptions.TemplateError:
        return None


write(__file__, "templates.json", {
    "cases": [{"name": name, "template": template, "messages": messages, "prompt": rendered(template, messages)}
              for name, template, messages in CASES],
})

# ---- answers (MO-5) -------------------------------------------------------------------------------------------------

BYTES = 256  # ids below are bytes, those from here on special tokens


def answer(name, ids, stop=(), end_ids=(259,)):
    """What of `ids` is the answer when they are drawn one after the other."""
    decoder, text, taken, finish = codecs.getincrementaldecoder("utf-8")("strict"), "", 0, "Length"
    for number in ids:
        taken += 1
        if number in end_ids:
            finish = "Stop"
            break
        text += decoder.decode(bytes([number])) if number < BYTES else ""
        found = [text.index(string) for string in stop if string in text]
        if found:
            text, finish = text[: min(found)], "Stop"
            break
    return {"name": name, "ids": list(ids), "stop": list(stop), "end_ids": list(end_ids), "text": text, "tokens": taken,
            "finish": finish}


def of(text):
    return list(text.encode())


write(__file__, "answers.json", {
    "cases": [
        answer("to the last token", of("silk")),
        answer("an end token counts and has no text", of("silk") + [259] + of("worm")),
        answer("a special token has no text", of("si") + [256] + of("lk")),
        answer("an end token at once", [259, 65]),
        answer("a stop string is no part of the answer", of("one END two"), ["END"]),
        answer("a stop string at once", of("END"), ["END"]),
        answer("nearly a stop string", of("EN ENN"), ["END"]),
        answer("nearly a stop string, and then one", of("EEND."), ["END"]),
        answer("one that contains its own beginning", of("xababac"), ["abac"]),
        answer("of two, the one that is whole first", of("a b c"), [" c", " b"]),
        answer("of two that end together, the one that begins first", of("xabcd"), ["cd", "abcd"]),
        answer("a shorter one inside of a longer one", of("xabcd"), ["abcd", "bc"]),
        answer("a stop string over an end token", of("EN") + [259] + of("D"), ["END"]),
        answer("a stop string around a special token", of("EN") + [256] + of("D!"), ["END"]),
        answer("a stop string of several bytes a character", of("né ✓ 🐛 x"), ["✓ 🐛"]),
        answer("half a stop character", of("né"), ["é!"]),
        answer("a character that is cut by the limit is dropped", of("ab🐛")[:-1]),
        answer("a character that is cut by the end token is dropped", of("ab✓")[:-1] + [259]),
        answer("another end token", of("a") + [258] + of("b"), [], [258, 259]),
    ],
})
