"""The classroom: exercises that check themselves, and a grader that trusts nobody's output but its own.

:mod:`rectutor.classroom.exercise` judges an answer, one module a chapter holds its exercises with the wrong answers
they know, :mod:`rectutor.classroom.notebooks` derives the students' notebooks, :mod:`rectutor.classroom.sandbox` runs
answers in a process of their own, :mod:`rectutor.classroom.grading` checks one notebook or a class.
"""
