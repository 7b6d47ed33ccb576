"""What operators do with the questions of tracks, for the role matrix."""

from catalog.actions import question_sets
from catalog.models import QuestionSet
from tests.factories import staff
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}
QUESTION = {"text": "Who reads it?", "kind": "text", "is_required": "yes", "code": "reader", "position": "1"}


def draft(world, actor):
    return QuestionSet.objects.get(track_id="compliance", version=1)


def question(world, actor):
    return draft(world, actor).questions.get(code="affected")


def in_force(world, actor):
    return question_sets.put_questions_in_force(draft(world, actor).pk, by=staff("operator"))


def _action(name, function, subject, path, said=None):
    return Action(
        name,
        f"catalog.actions.question_sets.{function}",
        subject=subject,
        admin=EntryPoint(f"POST /admin/catalog/{path}/", SENT | (said or {})),
    )


QUESTION_ACTIONS = [
    Action(
        "begin questions of a track",
        "catalog.actions.question_sets.add_question_set",
        admin=EntryPoint(
            "POST /admin/catalog/questionset/begin/", SENT | {"track": "cost", "note": "A try."}
        ),
    ),
    _action(
        "copy questions of a track",
        "copy_question_set",
        draft,
        "questionset/{it.pk}/copy",
        {"note": "A try."},
    ),
    _action("add a question", "add_question", draft, "questionset/{it.pk}/add-question", QUESTION),
    _action("change a question", "change_question", question, "question/{it.pk}/change-question", QUESTION),
    _action("delete a question", "delete_question", question, "question/{it.pk}/remove"),
    _action("put questions in force", "put_questions_in_force", draft, "questionset/{it.pk}/put-in-force"),
    _action("ask questions no longer", "withdraw_questions", in_force, "questionset/{it.pk}/withdraw"),
    _action("delete a draft of questions", "delete_question_set", draft, "questionset/{it.pk}/remove"),
]
