#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Which retained messages a filter with wildcards finds: every filter below is
# looked up among the same topics and compared with what a matcher written down
# from the standard, 4.7, says.

###############################################################################

use warnings;
no warnings 'qw';
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

# '-' and '.' are smaller than '/', ' ' is the smallest character

my @topics = (
    qw( a a/b a/b/c a/b/c/d a/b-c a/b-c/d a/b.c/d a/c/b a/d/c a/ab a/ab/c
        b b/b b/c/c b/c/d/e ab abc a-b a-b/c x/y/z/1 x/y/z/2 x/y2/z/1 x/y/zz/1
        x/y/z x z/z/z/z/z/z $a $a/b $a/b/c $SYS/a ),
    '/', '/a', '//', '///', '/a/', 'a/', 'a//', 'a//c', 'a/b/', '//c',
    'a/ ', 'a/ /c', ' /b', 'a/b /c', 'a/}/c', '}', '{a}/b',
    "caf\xc3\xa9/b", "caf\xc3\xa9/\xf0\x9f\x98\x80/c", 'a b/c d',
);

my @filters = (
    '#', qw( + +/+ +/b +/+/c +/# a/# a/+ a/+/c a/+/+ a/+/# a/b/# a/b/+ a/b/+/d
        a/+/c/+ a/+/c/# +/b/c +/b/# +/c/+ +/+/+/+ x/+/z/+ x/+/z/# x/y/+/1
        x/+/+/1 x/+/+/2 z/+/z/+/z/+ +/+/+/+/+/+ $a/# $a/+ $a/+/c $SYS/#
        $SYS/+ nothing/# nothing/+/x a/b/c/d/# a/zz/# a/+/zz ab/# ),
    '/+', '/#', '//#', '+/', '+//', '+//c', '//+', '/+/', 'a//+', 'a//#',
    'a/+/', ' /+', 'a/ /#', 'a/b /+', 'a/}/+', '}/#', '{a}/+',
    "caf\xc3\xa9/+", "caf\xc3\xa9/+/c", 'a b/+',
);

plan tests => @filters + 3;

my $t = MqttTest->new;

$t->write_conf(server => 'mqtt_max_subscriptions 1000;');
$t->run;

my $c = $t->client(version => 5);

$c->queue(PUBLISH => topic => $_, payload => "of $_", retain => 1)
    for @topics;
$c->flush;
$c->publish_wait('last/one', 'x', qos => 1);

my $s = $t->client(version => 5);

for my $filter (@filters) {
    my @expected = sort grep { matches($filter, $_) } @topics;
    my @found = found($filter);

    is("@found", "@expected", "filter $filter");
}

# every parent and every topic is gone when its message is

$c->queue(PUBLISH => topic => $_, payload => '', retain => 1)
    for @topics[0 .. $#topics - 1];
$c->flush;
$c->publish_wait('last/one', 'x', qos => 1);

is(join(' ', found('#')), $topics[-1], 'one is left');

$c->publish_wait($topics[-1], '', qos => 1, retain => 1);
is(join(' ', found('#')), '', 'none is left');

ok(wait_for { !$t->redis->keys('*{r*') }, 'no keys are left')
    or diag(join ' ', $t->redis->keys('*{r*'));

###############################################################################

# The retained messages of a filter; those of the next one, to a topic that is
# always there, tell that these are all.

sub found {
    my ($filter) = @_;

    $c->publish_wait('the/end', 'end', qos => 1, retain => 1);

    $s->subscribe($filter => 0, 'the/end' => 0);

    my @found;
    my $ends = matches($filter, 'the/end') ? 2 : 1;

    while (my $m = $s->recv_message) {
        if ($m->{topic} eq 'the/end') {
            last if !--$ends;
            next;
        }

        push @found, $m->{retain} && $m->{payload} eq "of $m->{topic}"
                     ? $m->{topic} : "$m->{topic}?";
    }

    $s->unsubscribe($filter, 'the/end');
    $c->publish_wait('the/end', '', qos => 1, retain => 1);

    return sort @found;
}


sub matches {
    my ($filter, $topic) = @_;

    return 0 if $topic =~ /^\$/ && $filter =~ /^[+#]/;

    my $re = join '/', map { $_ eq '+' ? '[^/]*' : quotemeta }
                       split m{/}, $filter, -1;

    $re =~ s{(?:^|/)\\#$}{(?:/.*)?};
    $re = '.*' if $filter eq '#';

    return $topic =~ /\A$re\z/s;
}

###############################################################################
