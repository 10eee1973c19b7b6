#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Subscriptions of a session that is resumed: what is not allowed any longer is
# not delivered, and counts again when it is allowed again.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 11;

###############################################################################

my $t = MqttTest->new;

rules('#');
$t->write_conf(gateway => "auth anonymous;\nacl %%TESTDIR%%/rules;");
$t->run;

my @who = (client_id => 'sleeper', version => 4, clean => 0);

my $c = $t->client(@who);
is_deeply($c->subscribe('a/#' => 1, 'b' => 1)->{codes}, [ 1, 1 ],
          'two subscriptions');
$c->disconnect;

delivered('a/1', 'b', 'before');

rules('b');
ok($t->reload, 'reload');
ok(wait_for { !$t->old_worker_pids }, 'the old worker is gone');

my $before = $t->total('subscribes_denied');

delivered(undef, 'b', 'one is not allowed');
cmp_ok($t->total('subscribes_denied'), '>', $before, 'counted');

rules('#');
ok($t->reload, 'reload');
ok(wait_for { !$t->old_worker_pids }, 'the old worker is gone');

delivered('a/1', 'b', 'both are again');

###############################################################################

sub rules {
    my ($filter) = @_;

    $t->write_file('rules', "allow publish #\nallow subscribe $filter\n");
}


# messages that come while the client is connected

sub delivered {
    my ($first, $second, $name) = @_;

    my $c = $t->client(@who);
    my $p = $t->client;

    ok($c->connack->{session_present}, "$name: session present")
        if $name ne 'before';

    $p->publish_wait($_, $name, qos => 1) for 'a/1', 'b';

    my @got;

    while (my $m = $c->recv_message(0.5)) {
        push @got, $m->{topic} if $m->{payload} eq $name;
    }

    is("@got", join(' ', grep { defined } $first, $second), $name);

    $_->disconnect for $c, $p;
}

###############################################################################
