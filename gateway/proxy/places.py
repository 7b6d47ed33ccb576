"""Patterns for places where models run: addresses, hosts, pods, paths, devices, processes and cloud accounts.

Each pattern matches one form. Places without a telling form are known by name: the labels of a backend's own host.
"""

import re

URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>`)\]}]+", re.IGNORECASE)
IPV4 = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5}|/\d{1,2})?(?!\w|\.\d)"
    r"|(?<![\w.])(?:0x[0-9a-f]{1,2}(?:\.(?:0x[0-9a-f]{1,2}|\d{1,8})){1,3}|0\d{1,3}(?:\.\d{1,4}){3})"
    r"(?::\d{1,5})?(?!\w|\.\d)",
    re.IGNORECASE,
)
IPV6 = re.compile(
    r"\[(?:[0-9a-f]{0,4}:){2,7}[0-9a-f.]{0,15}(?:%\w+)?\](?::\d{1,5})?"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){0,6}(?:[0-9a-f]{1,4})?::(?:[0-9a-f]{1,4}:){0,6}[0-9a-f]{1,4}(?:%\w+)?(?![\w:])",
    re.IGNORECASE,
)
HOST = re.compile(
    r"(?<![\w.@-])(?:localhost(?::\d{1,5})?|(?:[a-z0-9_-]+\.)+(?:svc|internal|local|lan|intra|corp|cluster|localdomain|"
    r"home|private|consul)(?:\.[a-z0-9.-]+)?(?::\d{1,5})?|(?:[a-z0-9_-]+\.)+[a-z][a-z0-9_-]*:\d{2,5}|[a-z][a-z0-9-]*:\d{4,5}"
    r"|ip-\d+-\d+-\d+-\d+(?:\.[a-z0-9.-]+)?)(?![\w-])",
    re.IGNORECASE,
)
PATH = re.compile(
    r"(?<![\w/.~#-])(?:~|\.{1,2}|\$\w+|\$\{\w+\})?/(?:[\w.@+=~-]+/)+[\w.@+=~-]*"  # /srv/models/x, ~/x/y, ../x/y
    r"|(?<![\w/.~-])~?/[\w@+=~-]+\.[a-z]\w{0,11}(?!\w)"  # /model.gguf
    r"|(?<![\w/.~-])(?:~|\$\w+|\$\{\w+\})/[\w.@+=~-]+"  # ~/.cache, $HOME/x
    r"|(?<![\w/:.~-])//[\w.-]+/[\w./@+=~-]+"  # //server/share
    r"|(?<!\w)%\w+%[\\/][^\s\"'<>|()\]}]+"  # %APPDATA%\x
    r"|(?<!\w)(?:[a-z]:[\\/](?!/)|\\\\)[^\s\"'<>|()\]}]+"  # C:\models, C:/models, \\server\share
    r"|(?<![\w/])[\w.@+-]+(?:/[\w.@+-]+)*\.(?:gguf|safetensors|pth?|onnx|engine|py|pyc|so|rs|cpp|cu|go)(?::\d+)?(?!\w)"
    r"|(?<![\w/.~-])/(?:srv|tmp|opt|var|usr|etc|home|root|mnt|data|models?|apps?|workspace|dev|proc|sys|run|nfs|scratch"
    r"|cache|media|lib|bin|boot|storage|volumes?|weights|checkpoints?|shared|lustre|gpfs|fsx|efs|local_disk\d*)(?![\w/])",
    re.IGNORECASE,
)
ID = re.compile(
    r"(?<![\w-])(?:chatcmpl|cmpl|embd|embeddings?|req|request|resp|run|org|proj|acct|acc|account|pod|worker|node|"
    r"engine|replica|conn|trace|span|call|id)[-_:][A-Za-z0-9_-]*\d[A-Za-z0-9_-]*"
    r"|(?<![\w-])(?:org|proj|acct|user)[-_](?-i:(?=\w*[A-Z])\w{12,})"
    r"|(?<![\w-])(?:(?:GPU|MIG|GPU-MIG)-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])"
    r"|(?<![\w-])(?:sha\d{1,3}:)?(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,}(?![\w-])"  # of a container
    r"|(?<![\w-])[0-9a-f]{24,}(?![\w-])"
    # A memory address, or an IPv4 address.
    r"|(?<!\w)0x[0-9a-f]{4,}(?!\w)"
    # A device on a bus.
    r"|(?<![\w:])[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.\d(?!\w)"
    r"|\bpid[ =:]+\d+",
    re.IGNORECASE,
)
_SAID_BEFORE = (
    "pod", "node", "host", "worker", "server", "replica", "backend", "upstream", "instance", "running on", "container",
    "deployment", "engine", "service", "cluster", "namespace", "hostname", "resolve", "resolving", "lookup",
)  # fmt: skip
# Hosts recognized by the words around them. Not used for members of answers, which are not sentences.
HOST_SAID = re.compile(
    r"(?<=\bhost=)['\"]?[\w.-]+['\"]?|(?<=\bhostname=)['\"]?[\w.-]+['\"]?"
    r"|(?:" + "|".join(rf"(?<=\b{word} )" for word in _SAID_BEFORE) + r")['\"`]?"
    r"(?:(?=[\w.-]*\d)[a-z][\w.-]*\w|[a-z][a-z0-9]*(?:-[a-z0-9]+)*-(?:prod|dev|test|stag(?:e|ing)|live|svc|eu|us|primary))"
    r"(?![\w-])['\"`]?"
    r"|(?:(?<=\bhost: )|(?<=\bENOTFOUND )|(?<=\bEAI_AGAIN )|(?<=\bECONNREFUSED )|(?<=\blookup )|(?<=not known: )"
    r"|(?<=\bfailed to resolve )|(?<=\bCannot connect to host ))['\"`]?[\w.-]+['\"`]?"
    r"|(?:(?<=\bpod )|(?<=\bnode )|(?<=\bworker )|(?<=\breplica )|(?<=\bbackend )|(?<=\bupstream )|(?<=\bcontainer )"
    r"|(?<=\bdeployment )|(?<=\bengine )|(?<=\bcluster )|(?<=\bnamespace )|(?<=\bhost ))"
    r"(?:'[\w.-]+'|\"[\w.-]+\"|`[\w.-]+`)"
    r"|(?<![\w-])(?:gpu|node|pod|worker|server|rack|replica)-?\d+(?:\.[\w-]+)*(?!\w)"
    r"|(?<![\w.@/-])(?=[\w.-]*[a-z]-?\d|[\w.-]*\.(?:com|net|org|io|ai|dev|cloud)\b)"
    r"(?:[a-z0-9][a-z0-9-]*\.){2,}[a-z][a-z0-9-]*"
    r"(?::\d{1,5})?(?![\w\[(-]|\.\w)",
    re.IGNORECASE,
)
# The letters that Kubernetes uses in generated names.
_OF_PODS = "bcdfghjklmnpqrstvwxz2456789"
# Hosts, pods and cloud locations recognized by their own form, in their usual lower case.
HOST_FORM = re.compile(
    rf"(?<![\w.-])[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?-(?:[{_OF_PODS}]{{6,10}}|(?=[a-f]*\d)[0-9a-f]{{8,10}})-[{_OF_PODS}]{{5}}(?![\w-])"
    r"|(?<![\w.-])(?:vllm|sglang|ollama|triton|tgi|llamacpp|lmdeploy|trtllm|ray|dynamo)(?:-[a-z0-9]+)*-\d{1,3}(?![\w-])"
    r"|(?<![\w.-])(?:[a-z0-9]+-)*(?:gpu|node|pod|worker|rack|replica|host|vm|db|dgx|hgx|h100|h200|a100|b200|l40s|mi300x)-?\d+"
    r"(?:-[a-z0-9]+)*(?![\w-])"
    r"|(?<![\w.-])(?:(?:dgx|hgx|h100|h200|a100|b200|l40s|mi300x)-[a-z0-9-]+|[a-z]{2,12}-?0\d{1,2})(?![\w-])"  # db01
    r"|(?<![\w.@/-])[a-z0-9]+(?:-[a-z0-9]+)+\.[a-z][a-z0-9-]*(?![\w(\[.-])"  # my-service.models
    r"|(?<![\w.-])(?!\w*(?:tokens|length|size|limit|count|seed|top_k|index)\b)[a-z][a-z0-9_-]*"
    r":(?:80|443|3000|5000|8\d{3}|11434|3\d{4})(?![\w.])"
    r"|(?<![\w.-])\d{1,3}(?:-\d{1,3}){3}(?![\w-])"
    r"|(?<![\w-])(?:[a-z]+-)?(?:us|eu|ap|sa|ca|me|af|il|cn|mx|europe|asia|northamerica|southamerica|australia)-"
    r"(?:gov-)?(?:north|south|east|west|central)(?:east|west)?-?\d[a-z]?(?![\w-])"
    r"|(?<![\w-])[\w.+-]+@[a-z][\w-]*(?:\.[\w-]+)*"
    r"|(?<![\w-])arn:[\w:/.*-]+|(?<![\w-])ocid1\.[\w.]+"
    r"|(?<![\w/])/?(?:projects|subscriptions|resourceGroups|accounts)/[\w.-]+(?:/[\w.@-]+)*"
    r"|(?<![\w-])models--[\w.-]+|(?<![\w-])cuda:\d+"
)
FORMS = (PATH, IPV6, IPV4, HOST_SAID, HOST, HOST_FORM, ID)
# These also apply to texts of an answer that are not sentences.
IN_MEMBERS = (PATH, IPV4, IPV6, HOST)

# Labels of hosts that a sentence may contain without meaning the host.
_ORDINARY_WORDS = """
about access account action address admin agent all also and answer any api apis app apps are argument array assistant
audio auth backend bad base beta body call cannot chat choice client cloud cluster code com completion completions
config content context core data default demo deployment dev developer document edge embed embedding embeddings
endpoint engine error event example external failed false field file files for format free from function functions
gateway generate global gpu group has have high home host http https image images index inference input instance
int integer internal invalid item items json key keys large len length limit list live llm llms local localhost long
low max maximum media message messages min model models mode must name names net network node none not null number
object one online open org output page param parameter parameters part path people ping platform play pod port
prefix private prod production prompt prompts property proxy public query rate read reason reasoning region
request requests required rerank response response result role root route router schema search secure seed server
servers service services serving site size small sound speech stable stage staging start stop stream streaming
string style sub svc system task temp temperature test text that the this token tokens too tool tools top trace
true type types unit upstream usage use user users value values vector vectors version video vision voice web was
will with word words work worker write www you your zone
"""
_WORDS = frozenset(_ORDINARY_WORDS.split())


def labels_of(host: str) -> list[str]:
    """The labels of a host's name, longest first, without its top-level domain and labels too short to identify it."""
    if ":" in host or re.fullmatch(r"[\d.]*", host):
        return []
    labels = host.lower().split(".")
    kept = labels[:-1] if len(labels) > 1 else labels
    return sorted({label for label in kept if len(label) > 2}, key=len, reverse=True)


def names_a_host(label: str) -> bool:
    """Whether a label identifies its host in any sentence, because it is not an ordinary word."""
    return label not in _WORDS
