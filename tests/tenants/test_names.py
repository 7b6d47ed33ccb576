"""Names are one line of characters that can be seen, whoever says them, and no tenant has another one's name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, Value

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict
from core.names import NameField, OneLine, clean_name, read_line, read_name, read_prose
from directory.actions.group_mappings import draft_group_mapping
from directory.actions.groups import GroupFacts, provision_group
from directory.models import DirectoryGroup, DirectoryPerson, GroupMapping
from tenants.actions import (
    accept_as_newcomer,
    change_project,
    change_tenant,
    create_project,
    create_service_account,
    create_tenant,
    invite,
    suspend_tenant,
)
from tenants.actions.tokens import issue_personal_access_token
from tenants.models import ApiKey, PersonalAccessToken, Project, Tenant
from tests.factories import ApiKeyFactory, TenantFactory

pytestmark = pytest.mark.django_db
PASSWORD = "unguessable-otter-42"

NOT_SEEN = [
    "\n", "\r", "\r\n", "\t", "\v", "\f", "\0", "\x1b", "\x7f", "\x85", "\x9f",  # controls
    "\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069", "\u200e", "\u200f",
    "\u061c",
    "\u2028", "\u2029", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e", "\u2064",
    "\U000e0041", "\U000e007f", "\U000e0100", "\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\ufffc", "\ufff9",
    "\ue000", "\ud800", "\uffff", "\U000f0000", "\U0001d173",
]  # fmt: skip
TIDIED = [
    ("  Aurora   Bank ", "Aurora Bank"),
    ("Aurora\u00a0\u3000Bank", "Aurora Bank"),
    ("Zu\u0308rich", "Zürich"),
    ("✈\ufe0f Travel", "✈ Travel"),
    ("Σίγμα משרד 東京 वित्त ไทย", "Σίγμα משרד 東京 वित्त ไทย"),
]
LOOK_ALIKES = [
    "Aurora Bank", "AURORA BANK", "aurora-bank", "  Aurora  Bank.", "AuroraBank", "Аurora Bank", "Αurora Ваnk",
    "Ａｕｒｏｒａ　Ｂａｎｋ", "Aur0ra Bank", "𝐀𝐮𝐫𝐨𝐫𝐚 Bank", "Auróra Bänk", "«Aurora Bank»", "@urora B4nk",
    "Aurora_Bank",
    "Aurora Ban\u212a", "ᴀurora ʙank", "АURОRА ВАNК", "Aurora Ba\u0144k", "Aurora·Bank", "Aurora Bɑnk",
    "ᴀᴜʀᴏʀᴀ ʙᴀɴᴋ", "Ꭺurora Bank", "ꭺurora Bank", "Aurora Ᏼank", "ꓮꓴꓣꓳꓣꓮ ꓐꓮꓠꓗ", "Αυrοrа Вaոk",
    "Aurora Bankˈ", "Auroraʼ Bank", "Aurora Bankː",
]  # fmt: skip


@pytest.mark.parametrize("unseen", NOT_SEEN)
def test_a_name_with_what_cannot_be_seen_is_refused_and_a_programs_is_cleaned(unseen):
    said = f"Aurora{unseen}Bank"
    for read in (read_name, read_line, read_prose):
        if read is read_name or unseen not in "\r\n\t\v\f\x85\u2028\u2029":
            with pytest.raises(ValidationError):
                read(said)
    assert clean_name(said) in ("AuroraBank", "Aurora Bank")
    assert clean_name(unseen) == ""


@pytest.mark.parametrize(("said", "name"), TIDIED)
def test_what_only_looks_untidy_is_tidied(said, name):
    assert read_name(said) == clean_name(said) == name == read_name(name)


def test_marks_do_not_pile_up_or_stand_alone():
    for said in ("Z\u0301" + "\u0301" * 20, "\u0301Bank", "\u20dd"):
        with pytest.raises(ValidationError):
            read_name(said)
        assert len(clean_name(said)) < 8


def test_lines_of_a_reason_become_one_and_those_of_a_text_stay():
    assert read_line("not\r\npaid\u2028yet") == "not paid yet"
    assert read_prose("a\r\n\n\n\nb \n") == "a\n\nb"


@pytest.mark.parametrize(
    "bad", ["Evil\nName", "Evil\u202eName", "Evil\u200bName", "\u3164", "\u2800\u2800", ""]
)
def test_every_way_to_give_a_name_refuses_what_is_none(lab, owner, operator, project, bad):
    _, link = invite(lab, "nia@example.org", "viewer", by=owner)
    actions = {
        "create tenant": lambda: create_tenant(by=operator, slug="new", name=bad),
        "change tenant": lambda: change_tenant(lab.pk, by=owner, name=bad),
        "create project": lambda: create_project(lab, by=owner, slug="new", name=bad),
        "change project": lambda: change_project(project.pk, by=owner, name=bad),
        "service account": lambda: create_service_account(lab, name=bad, role="viewer", by=owner),
        "token": lambda: issue_personal_access_token(owner, name=bad, life=timedelta(days=1), scopes=["read"]),
        "newcomer": lambda: accept_as_newcomer(link, name=bad, password=PASSWORD),
        "group mapping": lambda: draft_group_mapping(group=bad, tenant=lab, role="viewer"),
        "group": lambda: provision_group(GroupFacts(bad), directory="d"),
        "suspension": lambda: suspend_tenant(lab.pk, by=operator, reason=bad.replace("\n", "\u2066")),
    }  # fmt: skip
    for action in actions.values():
        with pytest.raises(ValidationError):
            action()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/tenants/lab/", {"name": "Evil\nName"}),
        ("/api/v1/tenants/lab/", {"cost_centre": "\u202eCC"}),
        ("/api/v1/projects/{project}/", {"name": "Evil\u2028Name"}),
    ],
)
def test_the_api_answers_400_by_field(client, lab, owner, project, path, body):
    client.force_login(owner)
    answer = client.patch(path.format(project=project.pk), body, content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert next(iter(body)) in str(answer.json())


def test_a_name_can_be_compared_with_the_databases_rule_before_it_is_stored(db):
    """Forms of models do: by a value, which stands twice in the rule, instead of a column."""
    assert Q(OneLine(Value("Letters"))).check({})
    assert not Q(OneLine(Value("Let\u202eters"))).check({})


def names_of(model):
    return [field.name for field in model._meta.fields if isinstance(field, NameField)]


def test_the_database_keeps_no_other_name(lab, owner, project):
    token, _ = issue_personal_access_token(owner, name="t", life=timedelta(days=1), scopes=["read"])
    key = ApiKeyFactory(tenant=lab, project=project)
    DirectoryPerson.objects.create(user=owner)
    group = DirectoryGroup.objects.create(display_name="g")
    rule = GroupMapping.objects.create(group="g", tenant=lab, role="viewer")
    rows = [
        *((Tenant, lab.pk, name) for name in names_of(Tenant)),
        *((Project, project.pk, name) for name in names_of(Project)),
        (User, owner.pk, "name"), (ApiKey, key.pk, "name"), (PersonalAccessToken, token.pk, "name"),
        (DirectoryPerson, owner.pk, "display_name"), (DirectoryGroup, group.pk, "display_name"),
        (GroupMapping, rule.pk, "group"),
    ]  # fmt: skip
    for model, pk, field in rows:
        meta = model._meta
        for said in ("a\nb", "a\u202eb", " a", "a  b", "e\u0301", "a\u00a0b", "\U000e0041", "\u3164"):
            with pytest.raises(IntegrityError, match="is_one_line"), transaction.atomic():  # noqa: SIM117
                with connection.cursor() as cursor:
                    cursor.execute(
                        f'UPDATE {meta.db_table} SET "{field}" = %s WHERE {meta.pk.column} = %s', [said, pk]
                    )


def test_what_a_program_writes_past_the_actions_is_cleaned_on_the_row_and_in_the_audit_log(lab):
    user = User.objects.create_user("nia@example.org", name=" Nia\n\u202eNewcomer ")
    assert (user.name, User.objects.get(pk=user.pk).name) == ("Nia Newcomer",) * 2
    Project.objects.bulk_create([Project(tenant=lab, slug="p", name="A\u200bB\nC")])
    assert Project.objects.in_tenant(lab).get(slug="p").name == "AB C"
    User.objects.filter(pk=user.pk).update(name="X\u2028Y")
    assert User.objects.get(pk=user.pk).name == "X Y"


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_no_tenant_gets_a_name_that_looks_like_anothers(lab, owner, operator, name):
    TenantFactory(slug="aurora-bank", name="Aurora Bank")
    for action in (
        lambda: create_tenant(by=operator, slug="other", name=name),
        lambda: change_tenant(lab.pk, by=owner, name=name),
    ):
        with pytest.raises(Conflict) as refused:
            action()
        assert refused.value.code == "name_taken"
        assert "aurora" not in str(refused.value.message).lower()
    lab.refresh_from_db()
    assert lab.name == "Lab"


@pytest.mark.parametrize(
    ("one", "other"),
    [("Helios Retail", "HeIios Retai1"), ("Modern Lab", "Modem Lab"), ("West", "VVest"), ("Ηelios", "Helios"),
     ("Нотариус", "НОТАРИУС"), ("SAP", "ՏΑΡ"), ("Acme", "Aϲme"), ("Siemens", "Ꮪiemens"), ("Doc", "ꓓoc"),
     # of one other script throughout
     ("Ace", "асе"), ("Oslo", "Оѕӏо"), ("Bosch", "Воѕсһ"), ("sony", "ѕопу"), ("BMW", "ВМШ"), ("dove", "ԁоѵе"),
     ("lob", "ӏоЬ"), ("uno", "սոօ"), ("hun", "հսո"), ("acme", "ⲁⲥⲙⲉ"), ("ACE", "ᎪᏟᎬ"), ("now", "поω"), ("wax", "ωαχ"),
     ("Aurora Ace", "Aurora асе"), ("Cash", "Саѕһ"), ("Elf", "Еӏғ"),
     # strokes, hooks and circles; digits and marks of other scripts; signs of a brand
     ("Aurora", "Auroɾa"), ("Aurora", "Ȧuroɍⱥ"), ("Bank", "Bɑnƙ"), ("Dell", "Ðell"), ("Dell", "Ɖell"), ("Go", "Ꞡo"),
     ("Samsung", "SɅMSUNG"), ("Samsung", "SΛMSUNG"), ("Sun", "Ƨun"), ("Google", "Gꝏgle"),
     ("Google", "Go໐gle"), ("Google", "G〇〇gle"), ("Google", "Gഠଠgle"), ("Google", "Gဝ০gle"), ("Google", "Gㅇㅇgle"),
     ("Google", "Googןe"), ("Google", "Googاe"), ("Google", "Goog│e"), ("Bell", "฿ell"), ("Yen", "¥en"),
     ("Siemens", "Siemensَ"), ("Siemens", "Siemensꞏ"), ("Siemens", "Siemensꓸ"), ("Wolf", "Wolf®"), ("Wolf", "Wolf™"),
     ("Wolf", "Wolf★"), ("Wolf", "☆ Wolf ☆"), ("Wolf", "W☆olf"), ("Wolf", "Wolf ❤\ufe0f"), ("Wolf", "Wolf🐺"),
     ("Wolf", "~Wolf~"), ("Wolf", "Wolf ∞"), ("Wolf", "→ Wolf"), ("Wolf ★", "Wolf ☆"), ("Wolf", "Wolfー"),
     ("Team 1", "Team l"), ("Team 10", "Team IO"), ("Team 1", "Team ١"), ("Ελλάς", "Eλλάς"),
     ("中国银行", "中囯银行"), ("人力", "人カ")],
)  # fmt: skip
def test_other_look_alikes(operator, one, other):
    create_tenant(by=operator, slug="one", name=one)
    with pytest.raises(Conflict):
        create_tenant(by=operator, slug="other", name=other)


def test_names_that_differ_for_a_reader_are_all_free(operator):
    names = [
        "Team 5", "Team S", "Team 51", "Team 5-1", "Team 11", "Team 1-1",
        "Unit 2", "Unit Z", "C", "C++", "日本銀行", "日本支店",
        "वित्त", "वत्त", "Нева", "Nova", "ビル", "ビール", "ᏣᎳᎩ", "ᏣᎳᏥ", "Ἑλλάς",
        "Банк", "Метро", "Шар", "Жар", "Піке", "Рада", "Рада Львів", "Հայ", "Հող", "Երևան", "Κρήτη",
        "Zurich North", "Zurich South", "Λάμδα", "Λάμψη",
        "ירוק", "ירק", "مصرف", "مسرف", "第一銀行", "第二銀行", "한국", "!!!", "???", "🐙", "🦊", "∞", "★", "☆",
        # By the standard's table, q and g look alike in no script; a reader tells a plus.
        "Google", "Gooqle", "Canal", "Canal+",
        *(f"Tenant {number}" for number in range(120)),
    ]  # fmt: skip
    for place, name in enumerate(names):
        create_tenant(by=operator, slug=f"t{place}", name=name)


@pytest.mark.parametrize("slug", ["aurora-bank", "aurora_bank", "Aurora-Bank", "aur0ra-bank", "aurorabank"])
def test_no_slug_reads_like_another_tenants(operator, slug):
    TenantFactory(slug="aurora-bank", name="One")
    with pytest.raises(Conflict) as refused:
        create_tenant(by=operator, slug=slug, name="Other")
    assert refused.value.code == "slug_taken"


def test_a_tenant_keeps_its_own_name_in_another_spelling(lab, owner):
    assert change_tenant(lab.pk, by=owner, name="LAB").name == "LAB"
    change_tenant(lab.pk, by=owner, cost_centre="CC-1")
    TenantFactory(slug="free", name="Elsewhere")
    with pytest.raises(Conflict):
        change_tenant(lab.pk, by=owner, name="E1sewhere")


def test_a_name_at_its_longest_has_a_skeleton_that_can_be_kept(operator):
    assert create_tenant(by=operator, slug="long", name="\ufdfa" * 120).name_skeleton


def test_a_refused_name_is_said_on_the_page_and_by_the_api(client, lab, owner, stranger):
    client.force_login(owner)
    form = {"name": "Е1sewhere", "timezone": "UTC", "currency": "USD", "highest_data_class": "internal"}
    page = client.post("/t/lab/settings/", form)
    assert page.status_code in (200, 409, 422)
    answer = client.patch("/api/v1/tenants/lab/", {"name": "Е1sewhere"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert Tenant.objects.get(pk=lab.pk).name == "Lab"


def test_the_audit_log_shows_clean_labels(lab, owner):
    change_tenant(lab.pk, by=owner, name="New Lab")
    line = AuditEntry.objects.in_tenant(lab).get(verb="tenant.changed")
    assert line.subject_label == "New Lab"
